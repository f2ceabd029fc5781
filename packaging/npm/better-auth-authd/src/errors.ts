/** A mistake in the configuration. The message names the setting, and says what to do. */
export class AuthdSettingError extends Error {
  override readonly name = "AuthdSettingError";
  constructor(
    /** The setting that is wrong or missing. */
    readonly setting: string,
    message: string,
  ) {
    super(`authd: ${setting}: ${message}`);
  }
}

/** authd did not answer, or the browser did not let the page read the answer. Whoever is signed in stays so. */
export class AuthdUnreachableError extends Error {
  override readonly name = "AuthdUnreachableError";
}

/** authd answered a refresh with something that is neither tokens nor an end of the session: 429, 503 and the like. */
export class AuthdRefusedError extends Error {
  override readonly name = "AuthdRefusedError";
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(`authd refused: ${status} ${code}`);
  }
}

/** Plain http is for this machine only: what goes there can be read on the way. */
export function isSafe(url: URL): boolean {
  const { protocol, hostname } = url;
  return protocol === "https:" || (protocol === "http:" && /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname));
}

/** The URL of a setting. */
export function settingUrl(setting: string, value: string | undefined, example: string): URL {
  if (!value) throw new AuthdSettingError(setting, `is missing: where authd is, such as "${example}"`);
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
    throw new AuthdSettingError(setting, `"${value}" is no http or https URL such as "${example}"`);
  }
  return new URL(value);
}
