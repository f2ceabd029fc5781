// What an application does with Better Auth's client, and no more.

import { createAuthClient } from "better-auth/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

// Of the server of this page: where authd is, and what else the test wants of the client.
const { baseURL, sessionOptions } = window.config;
const authClient = createAuthClient({ baseURL, sessionOptions });

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
