import { join } from 'node:path';
import { defaultPaths } from '../spec/defaults.ts';
import { ShoalError } from '../util/errors.ts';
import { readContext, type AdministratorContext } from '../wire/administrator-context.ts';
import type { ConnectOptions } from '../wire/client.ts';

/** Which API a command talks to, and as whom. */
export interface Target extends ConnectOptions {
  host: string;
  /** Other managers of the same cluster, for when that one cannot be reached. */
  others?: string[];
}

export interface TargetWishes {
  /** `--host` */
  host?: string;
  /** `--context` */
  context?: string;
  environment: Record<string, string | undefined>;
}

/** Where the context is when none is named. */
export function defaultContextPath(environment: Record<string, string | undefined>): string {
  const folder = environment['XDG_CONFIG_HOME'] || join(environment['HOME'] || '/root', '.config');
  return join(folder, 'shoal', 'context.json');
}

/**
 * `--host`, else `SHOAL_HOST`, else the managers of the context (`--context`, else `SHOAL_CONTEXT`), else the local
 * daemon. A host over TCP needs a context, by default `~/.config/shoal/context.json`. Throws what `readContext` does.
 */
export function targetOf({ host: asked, context: path, environment }: TargetWishes): Target {
  const host = asked ?? (environment['SHOAL_HOST'] || undefined);
  const contextPath = path ?? (environment['SHOAL_CONTEXT'] || undefined);
  if (host?.startsWith('unix://') || (host === undefined && contextPath === undefined)) {
    return { host: host ?? `unix://${defaultPaths.run}/shoal.sock` };
  }
  const context = readContext(contextPath ?? defaultContextPath(environment));
  const credentials = credentialsOf(context);
  if (host !== undefined) return { host, credentials };
  const [first, ...others] = managersOf(context);
  return { host: first, credentials, ...(others.length > 0 && { others }) };
}

function managersOf({ name, managers }: AdministratorContext): [string, ...string[]] {
  const [first, ...others] = managers.map((address) => `tcp://${address}`);
  if (first !== undefined) return [first, ...others];
  throw new ShoalError('invalid_file', `Cannot use the context of ${name}: it names no manager`, {
    next: 'Name one with --host tcp://HOST:2377.',
  });
}

function credentialsOf(context: AdministratorContext): NonNullable<Target['credentials']> {
  return {
    ca: context.certificateAuthorityPem,
    cert: context.certificatePem,
    key: context.privateKeyPem,
  };
}
