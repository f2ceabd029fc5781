// The plain endpoints of authd on the wire. Dates come as text; Better Auth's client makes `Date` of them.

/** A user, in Better Auth's shape. */
export interface User {
  id: string;
  name: string;
  email: string;
  emailVerified: boolean;
  image?: string | null;
  createdAt: Date;
  updatedAt: Date;
}

/** A session, as `/me` tells of it. */
export interface SessionInfo {
  id: string;
  createdAt: Date;
  expiresAt: Date;
  ipAddress: string;
  userAgent: string;
}

/** `/login`, `/signup`, `/refresh`. A refresh token comes in token mode only. */
export interface TokenAnswer {
  access_token: string;
  token_type: "Bearer";
  expires_in: number;
  refresh_token?: string;
  refresh_expires_in?: number;
  user: User;
}

/** `/signup` where a new account is not signed in at once. */
export interface UserOnlyAnswer {
  user: User;
}

/** `/me`. */
export interface MeAnswer {
  user: User;
  session: SessionInfo;
}

/** `/logout`. */
export interface LogoutAnswer {
  success: boolean;
  ended: number;
}

/** Whether this is an answer with tokens. */
export function hasTokens(body: unknown): body is TokenAnswer {
  const answer = body as Partial<TokenAnswer> | null;
  return typeof answer?.access_token === "string" && typeof answer.expires_in === "number";
}
