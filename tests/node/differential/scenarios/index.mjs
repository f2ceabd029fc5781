// All scenarios, in groups of those that need the same options. One pair of servers serves a group.

import { ACCOUNT, DELETION } from "./account.mjs";
import { BY_PATTERN_GROUP, WHENCE } from "./clients.mjs";
import { FIELDS } from "./fields.mjs";
import { HTTP, ORIGINS } from "./http.mjs";
import { MAIL } from "./mail.mjs";
import { OPTIONS } from "./options.mjs";
import { ADMINISTRATORS } from "./administrators.mjs";
import { SESSION } from "./session.mjs";
import { SIGN_IN } from "./sign_in.mjs";
import { SIGN_UP } from "./sign_up.mjs";
import { USERNAMES } from "./usernames.mjs";

export const GROUPS = [
  { name: "as installed: sign-up", scenarios: SIGN_UP },
  { name: "as installed: sign-in", scenarios: SIGN_IN },
  { name: "as installed: sessions", scenarios: SESSION },
  { name: "as installed: accounts", scenarios: ACCOUNT },
  { name: "as installed: HTTP", scenarios: HTTP },
  { name: "as installed: origins", scenarios: ORIGINS },
  {
    name: "users may delete their accounts",
    scenarios: DELETION,
    options: { authd: { AUTHD_ACCOUNT__SELF_DELETE: "true" }, reference: { user: { deleteUser: { enabled: true } } } },
  },
  { name: "as installed: where requests come from", scenarios: WHENCE },
  BY_PATTERN_GROUP,
  ...ADMINISTRATORS,
  ...USERNAMES,
  ...OPTIONS,
  ...FIELDS,
  ...MAIL,
];
