/** One attempt to change something, done or refused. Never holds what a secret contains, a token, or a command's arguments. */
export interface AuditEntry {
  /** Counts up by one. */
  id: number;
  /** RFC 3339, UTC, by the manager's clock. */
  at: string;
  caller: AuditCaller;
  /** Address of the caller; absent on the local socket. */
  from?: string;
  method: string;
  /** Without its query. */
  path: string;
  /** What it was about, such as `create service app_web`. */
  objects?: string[];
  /** HTTP status: below 400 it was done. */
  status: number;
  /** Code of the error. */
  error?: string;
  /** Refused or failed attempts before this one that are not in the log: of callers that made too many, or for want of room. */
  omitted?: number;
}

/** `revoked`: the name in a certificate of the cluster that does not count any more. */
export interface AuditCaller {
  kind: 'local' | 'administrator' | 'node' | 'anonymous';
  name?: string;
  role?: string;
  revoked?: string;
}

/** `GET /audit?limit=N&before=ID`: the newest entries, or those before one, oldest first. */
export interface AuditPage {
  entries: AuditEntry[];
  /** Why entries cannot be written now; they wait in memory. */
  problem?: string;
}

export const auditPageMax = 1_000;
