import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  administratorLifeMsDefault,
  administratorLifeMsMax,
  administratorLifeMsMin,
  administratorRoles,
  type Administrator,
  type AdministratorRole,
} from '../../spec/administrator.ts';
import { ShoalError } from '../../util/errors.ts';
import { formatDuration } from '../../util/text.ts';
import type { AdministratorContext } from '../../wire/administrator-context.ts';
import type { AdministratorAnswer, AdministratorCreate, ClusterInfo } from '../../wire/api.ts';
import { createKeyAndRequest } from '../../wire/certificates.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { printList } from '../output.ts';

const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `12h` or `90d` in milliseconds; throws `invalid_argument` for what no certificate is made for. */
export function parseLife(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const ms = Number(amount) * (units[unit ?? ''] ?? Number.NaN);
  if (ms >= administratorLifeMsMin && ms <= administratorLifeMsMax) return ms;
  const longest = formatDuration(administratorLifeMsMax);
  throw new ShoalError('invalid_argument', `Cannot use ${JSON.stringify(text)} as a duration`, {
    next: `Write minutes, hours or days such as 12h or 90d, ${longest} at most.`,
  });
}

function roleOf(parsed: ParsedArguments): AdministratorRole {
  const given = parsed.value('role') ?? 'viewer';
  const role = administratorRoles.find((one) => one === given);
  if (role !== undefined) return role;
  throw new ShoalError('invalid_argument', `Cannot give the role ${JSON.stringify(given)}`, {
    next: `The roles are ${administratorRoles.join(', ')}.`,
  });
}

/** Takes the file first, so that nobody becomes an administrator whose key cannot be kept. */
async function createInto(
  context: Context,
  path: string,
  wish: Omit<AdministratorCreate, 'certificateRequestPem'>,
): Promise<AdministratorAnswer> {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (cause) {
    throw new ShoalError('failed_precondition', `Cannot write the context ${path}`, {
      cause,
      next: 'Name another file with --output.',
    });
  }
  try {
    const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
    const client = await context.client();
    const body: AdministratorCreate = { ...wish, certificateRequestPem };
    const answer = await client.request<AdministratorAnswer>('POST', '/administrators', body);
    const { administrator, managers, certificateAuthorityPem, certificatePem } = answer;
    const content: AdministratorContext = {
      name: administrator.name,
      role: administrator.role,
      expiresAt: new Date(administrator.expiresAt).toISOString(),
      managers,
      certificateAuthorityPem,
      certificatePem,
      privateKeyPem,
    };
    writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
    return answer;
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

export const create: Command = {
  name: 'admin create',
  summary: 'Give somebody a certificate to drive the cluster from elsewhere, as a context file.',
  positionals: 'NAME',
  positionalsMin: 1,
  positionalsMax: 1,
  options: {
    role: {
      value: 'ROLE',
      help: 'viewer (default: reads), operator (runs applications), admin (everything)',
    },
    duration: {
      value: 'TIME',
      help: `How long it is valid, such as 12h (default ${formatDuration(administratorLifeMsDefault)})`,
    },
    output: {
      short: 'o',
      value: 'FILE',
      help: 'Where the context goes, mode 0600 (default: NAME.json here)',
    },
    json: { help: 'Print what was made as JSON, without the key' },
  },
  examples: [
    'shoal admin create alice --role operator',
    'shoal admin create ci --role operator --duration 12h -o ./ci.json',
    'SHOAL_CONTEXT=./alice.json shoal ps',
  ],
  async run(context, parsed) {
    const [name = ''] = parsed.positionals;
    const role = roleOf(parsed);
    const duration = parsed.value('duration');
    const lifeMs = duration === undefined ? administratorLifeMsDefault : parseLife(duration);
    const output = parsed.value('output') ?? `${name.replaceAll(/[^\w.@-]/g, '_')}.json`;
    const path = resolve(context.workingDirectory, output);
    const { administrator } = await createInto(context, path, { name, role, lifeMs });
    if (parsed.flag('json')) context.output.print(JSON.stringify(administrator, null, 2));
    else {
      const until = new Date(administrator.expiresAt).toISOString().slice(0, 16);
      context.output.note(`${name} is ${role} until ${until}Z. The context holds a secret key: ${path}`);
      context.output.print(`SHOAL_CONTEXT=${path} shoal ps`);
    }
    return exitCodes.done;
  },
};

export const ls: Command = {
  name: 'admin ls',
  summary: 'List those who can drive the cluster from elsewhere.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal admin ls'],
  async run(context, parsed) {
    const client = await context.client();
    const administrators = await client.request<Administrator[]>('GET', '/administrators');
    const { now } = await client.request<ClusterInfo>('GET', '/cluster');
    printList(context.output, parsed.flag('json'), administrators, {
      header: ['NAME', 'ROLE', 'CREATED', 'EXPIRES'],
      row: ({ name, role, createdAt, expiresAt }) => [
        name,
        role,
        `${formatDuration(now - createdAt)} ago`,
        expiresAt <= now ? 'expired' : `in ${formatDuration(expiresAt - now)}`,
      ],
    });
    return exitCodes.done;
  },
};

export const rm: Command = {
  name: 'admin rm',
  summary: 'Revoke certificates at once; what is open with them ends.',
  positionals: 'NAME...',
  positionalsMin: 1,
  positionalsMax: 100,
  options: {},
  examples: ['shoal admin rm alice'],
  async run(context, parsed) {
    const client = await context.client();
    for (const name of parsed.positionals) {
      await client.request('DELETE', `/administrators/${encodeURIComponent(name)}`);
      context.output.note(`${name} is no administrator any more`);
    }
    return exitCodes.done;
  },
};
