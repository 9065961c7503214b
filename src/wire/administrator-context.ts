import { statSync, readFileSync } from 'node:fs';
import { ShoalError } from '../util/errors.ts';

/** What a command line needs to drive a cluster from elsewhere: one file of mode 0600, for the key in it is a secret. */
export interface AdministratorContext {
  name: string;
  role: string;
  /** When the certificate ends, RFC 3339. */
  expiresAt: string;
  /** `HOST:PORT` of the managers. */
  managers: string[];
  certificateAuthorityPem: string;
  certificatePem: string;
  privateKeyPem: string;
}

/** A larger file is no context. */
const contextBytesMax = 64 * 1024;

/**
 * Reads a context file. Throws `not_found`, `permission_denied` when others than its owner can read it, and
 * `invalid_file`; no error repeats anything of its content.
 */
export function readContext(path: string): AdministratorContext {
  const next = 'Make one with `shoal admin create` on a manager.';
  let text: string;
  try {
    const { mode, size } = statSync(path);
    if ((mode & 0o077) !== 0) {
      throw new ShoalError('permission_denied', `Cannot use the context ${path}: others can read it`, {
        next: `Run \`chmod 600 ${path}\`. If somebody may have read it, remove its administrator.`,
      });
    }
    if (size > contextBytesMax) throw new ShoalError('invalid_file', `Cannot use ${path}: it is no context`);
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause;
    throw new ShoalError('not_found', `Cannot read the context ${path}`, { cause, next });
  }
  const context = parse(text);
  if (context !== undefined) return context;
  throw new ShoalError('invalid_file', `Cannot use ${path}: it is not the context of an administrator`, {
    next,
  });
}

function parse(text: string): AdministratorContext | undefined {
  let value: Partial<Record<keyof AdministratorContext, unknown>> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined; // the caller says so; the parser's own message would repeat what is in the file
  }
  const texts = [value?.name, value?.role, value?.expiresAt];
  const pems = [value?.certificateAuthorityPem, value?.certificatePem, value?.privateKeyPem];
  const managers = value?.managers;
  const isContext =
    texts.every((one) => typeof one === 'string') &&
    pems.every((one) => typeof one === 'string' && one.startsWith('-----BEGIN ')) &&
    Array.isArray(managers) &&
    managers.every((one) => typeof one === 'string');
  return isContext ? (value as AdministratorContext) : undefined;
}
