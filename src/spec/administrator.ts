import type { ObjectMeta } from './object.ts';

/** What administrators may do. Each role may do all that the ones before it may. */
export const administratorRoles = ['viewer', 'operator', 'admin'] as const;
export type AdministratorRole = (typeof administratorRoles)[number];

/** Whether a person with `role` may do what takes the role `needed`. */
export function roleCovers(role: AdministratorRole, needed: AdministratorRole): boolean {
  return administratorRoles.indexOf(role) >= administratorRoles.indexOf(needed);
}

/** A person or program that drives the cluster from elsewhere, with a client certificate. Deleting it revokes the certificate. */
export interface Administrator extends ObjectMeta {
  /** Unique among those there are; in the certificate too. */
  name: string;
  role: AdministratorRole;
  /** SHA-256 of the certificate's DER, 64 hex digits. No other certificate stands for this administrator. */
  fingerprint: string;
  /** When the certificate ends, ms since the epoch. */
  expiresAt: number;
}

export const administratorNamePattern = '^[a-z0-9][a-z0-9._@-]{0,62}$';
/** Administrators in one cluster; more are refused. */
export const administratorsMax = 256;
/** How long a certificate is good for when nothing else is asked. */
export const administratorLifeMsDefault = 90 * 24 * 60 * 60 * 1000;
export const administratorLifeMsMin = 60 * 1000;
export const administratorLifeMsMax = 366 * 24 * 60 * 60 * 1000;
