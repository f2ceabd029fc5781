// A page that signs in at authd, and calls its own API with the access token.

import { createAuthClient } from "better-auth/react";
import { authdClient } from "better-auth-authd/client";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const { baseURL, api, options } = window.config;
const said = { ended: () => {} };

const authClient = createAuthClient({
  baseURL, // "http://localhost:8000/api"
  plugins: [authdClient({ apiOrigins: [api], onSessionEnded: (code) => said.ended(code), ...options })],
});
// So that the tests, and you in the console, can ask for the token.
window.authClient = authClient;

const fields = (event) => {
  event.preventDefault();
  return Object.fromEntries(new FormData(event.target));
};

function SignIn({ say }) {
  const send = async (event, method) => {
    const { error } = await method(fields(event));
    say(error ? `${error.status} ${error.code}` : "");
  };
  return (
    <>
      <form aria-label="Sign in" onSubmit={(event) => send(event, authClient.login)}>
        <input name="email" placeholder="email" type="email" />
        <input name="password" placeholder="password" type="password" />
        <button>Sign in</button>
      </form>
      <form aria-label="Sign up" onSubmit={(event) => send(event, authClient.signup)}>
        <input name="name" placeholder="name" />
        <input name="email" placeholder="email" type="email" />
        <input name="password" placeholder="password" type="password" />
        <button>Sign up</button>
      </form>
    </>
  );
}

function SignedIn({ data, say }) {
  const call = async () => {
    const answer = await authClient.$api(`${api}/whoami`);
    say(`the API says: ${answer.status} ${await answer.text()}`);
  };
  return (
    <>
      <p>{data.user.email}</p>
      <button onClick={call}>Call the API</button>
      <button onClick={() => authClient.signOut()}>Sign out</button>
    </>
  );
}

function Page() {
  const { data, isPending } = authClient.useSession();
  const [text, say] = useState("");
  said.ended = (code) => say(`The session has ended: ${code}`);
  if (isPending) return <p>One moment</p>;
  return (
    <>
      <h1>{data ? `Hello, ${data.user.name}` : "Nobody is signed in"}</h1>
      {data ? <SignedIn data={data} say={say} /> : <SignIn say={say} />}
      {text && <p role="status">{text}</p>}
    </>
  );
}

createRoot(document.querySelector("main")).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
