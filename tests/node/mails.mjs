// Mails that tests wait for.

/** Mails by the domain of their recipient: each can be waited for once, in the order in which they came. */
export class Mails {
  #waiting = new Map();
  #came = new Map();

  put(to, mail) {
    const domain = to.slice(to.lastIndexOf("@") + 1);
    const waiter = this.#waiting.get(domain)?.shift();
    if (waiter) waiter({ to, ...mail });
    else (this.#came.get(domain) ?? this.#came.set(domain, []).get(domain)).push({ to, ...mail });
  }

  /** The next one to this domain. */
  next(domain) {
    const mail = this.#came.get(domain)?.shift();
    if (mail) return Promise.resolve(mail);
    return new Promise((resolve, reject) => {
      const tooLate = setTimeout(() => reject(new Error(`no mail came to ${domain}`)), 20_000);
      const waiter = (mail) => {
        clearTimeout(tooLate);
        resolve(mail);
      };
      (this.#waiting.get(domain) ?? this.#waiting.set(domain, []).get(domain)).push(waiter);
    });
  }
}
