// A page of the manual in a browser of its own (happy-dom): mounts the component of a folder, and does what a person would.
//
//   manual_page.mjs react|vue|svelte FOLDER

import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Window } from "happy-dom";
import { PAGE, pageFetch, PASSWORD } from "./harness.mjs";

const [framework, folder] = process.argv.slice(2);
const window = new Window({ url: `${PAGE}/` });
for (const name of Object.getOwnPropertyNames(window)) {
  if (/^(HTML|SVG)\w*Element$|^(Node|Text|Comment|Element|Document|DocumentFragment|ShadowRoot|MutationObserver)$|^(MathMLElement|localStorage|BroadcastChannel)$/.test(name)) {
    globalThis[name] = window[name];
  }
}
Object.assign(globalThis, { window, document: window.document });
Object.defineProperty(globalThis, "navigator", { value: window.navigator, configurable: true });
globalThis.fetch = pageFetch();

const place = window.document.body.appendChild(window.document.createElement("div"));
const load = (name) => import(pathToFileURL(join(folder, name)));
const mounts = {
  react: async () => {
    const { createElement } = await import("react");
    const { createRoot } = await import("react-dom/client");
    createRoot(place).render(createElement((await load("Account.js")).Account));
  },
  vue: async () => {
    const { createApp } = await import("vue");
    createApp((await load("Account.vue.js")).default).mount(place);
  },
  svelte: async () => {
    const { mount } = await import("svelte");
    mount((await load("Account.svelte.js")).default, { target: place });
  },
};
await mounts[framework]();

/** Waits until the page shows it. */
async function sees(text) {
  const deadline = Date.now() + 30_000;
  while (!place.textContent.includes(text)) {
    assert.ok(Date.now() < deadline, `${framework}: no '${text}' on the page, but '${place.textContent}'`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function type(kind, text) {
  const input = place.querySelector(`input[type=${kind}]`);
  Object.getOwnPropertyDescriptor(window.HTMLInputElement.prototype, "value").set.call(input, text);
  input.dispatchEvent(new window.Event("input", { bubbles: true }));
}

const press = (label) => [...place.querySelectorAll("button")].find((button) => button.textContent === label).click();

await sees("Sign up");
type("email", "ada@example.com");
type("password", PASSWORD);
press("Sign up");
await sees("Hello, ada@example.com!");
press("Sign out");
await sees("Sign up");
type("email", "ada@example.com");
type("password", "wrong horse battery");
press("Sign in");
await sees("Invalid email or password");
type("password", PASSWORD);
press("Sign in");
await sees("Hello, ada@example.com!");
process.exit(0);
