// What an application does with Better Auth's client, and no more.

import { createAuthClient } from "better-auth/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

// Of the server of this page: where authd is, and what else the test wants of the client.
const { baseURL, sessionOptions } = window.config;
const authClient = createAuthClient({ baseURL, sessionOptions });

/** Where links in mails lead back to, and the token that one of them brought. */
const home = `${window.location.origin}/`;
const token = new URLSearchParams(window.location.search).get("token");

const fields = (form) => Object.fromEntries(new FormData(form));

/** A form that sends what was typed, and says what came of it. */
function Form({ label, names, send }) {
  const [said, setSaid] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    setSaid("");
    try {
      const { error } = await send(fields(event.target));
      setSaid(error ? `${error.status} ${error.code ?? ""}`.trim() : "done");
    } catch (error) {
      setSaid(error.name);
    }
  };
  return (
    <form aria-label={label} onSubmit={submit}>
      {names.map((name) => (
        <input key={name} name={name} placeholder={name} type={/password/i.test(name) ? "password" : "text"} />
      ))}
      <button>{label}</button>
      {said && <p role={said === "done" ? "status" : "alert"}>{said}</p>}
    </form>
  );
}

function Page() {
  const { data, error, isPending, refetch } = authClient.useSession();
  if (isPending) return <p>One moment</p>;
  return (
    <>
      <h1>{data ? `Hello, ${data.user.name}` : "Nobody is signed in"}</h1>
      {error && <p role="alert">The session cannot be asked for</p>}
      {data ? (
        <>
          <p>
            {data.user.email}, until <time>{data.session.expiresAt.toISOString()}</time>
          </p>
          <p>{data.user.emailVerified ? "The address is proved" : "The address is not proved"}</p>
          <Form
            label="Prove address"
            names={[]}
            send={() => authClient.sendVerificationEmail({ email: data.user.email, callbackURL: home })}
          />
          <Form label="Change address" names={["newEmail"]} send={(body) => authClient.changeEmail({ ...body, callbackURL: home })} />
          <Form label="Rename" names={["name"]} send={(body) => authClient.updateUser(body)} />
          <Form
            label="Change password"
            names={["currentPassword", "newPassword"]}
            send={(body) => authClient.changePassword({ ...body, revokeOtherSessions: true })}
          />
          <Form label="Sign out" names={[]} send={() => authClient.signOut()} />
        </>
      ) : (
        <>
          <Form label="Sign up" names={["name", "email", "password"]} send={(body) => authClient.signUp.email(body)} />
          <Form label="Sign in" names={["email", "password"]} send={(body) => authClient.signIn.email(body)} />
          <Form
            label="Forgot password"
            names={["email"]}
            send={(body) => authClient.requestPasswordReset({ ...body, redirectTo: home })}
          />
          {token && (
            <Form label="Set password" names={["newPassword"]} send={(body) => authClient.resetPassword({ ...body, token })} />
          )}
        </>
      )}
      <button onClick={() => refetch()}>Ask again</button>
    </>
  );
}

createRoot(document.querySelector("main")).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
