import { codeOf, ShoalError } from '../../util/errors.ts';
import type { ApplicationSummary, ServiceInfo } from '../../wire/api.ts';
import type { Client } from '../../wire/client.ts';
import { exitCodes, type Command } from '../command.ts';
import { applicationOptions } from '../options.ts';
import { applicationName, pickServices } from '../reference.ts';

/** In the order in which a name is looked for. */
const kinds = ['application', 'task', 'node', 'network', 'volume', 'secret', 'config'] as const;

export const command: Command = {
  name: 'inspect',
  summary:
    'Show everything that is known of services, applications, tasks, nodes, networks, volumes, secrets or configs, as JSON.',
  positionals: 'NAME...',
  positionalsMin: 1,
  positionalsMax: 100,
  options: {
    ...applicationOptions,
    type: { value: 'KIND', help: `service, ${kinds.join(', ')} (default: the first that has the name)` },
  },
  examples: ['shoal inspect web', 'shoal inspect shop_web.1', 'shoal inspect --type node b'],
  async run(context, parsed) {
    const type = parsed.value('type');
    const wanted = ['service', ...kinds].filter((kind) => type === undefined || kind === type);
    if (wanted.length === 0) {
      throw new ShoalError('invalid_argument', `Cannot inspect a ${JSON.stringify(type)}`, {
        next: `The kinds are service, ${kinds.join(', ')}.`,
      });
    }
    const client = await context.client();
    const application = await applicationName(context, parsed);
    const found = [];
    for (const name of parsed.positionals) found.push(await findOne(client, application, name, wanted));
    context.output.print(JSON.stringify(found, null, 2));
    return exitCodes.done;
  },
};

/** What has the name. Throws `not_found`. */
async function findOne(
  client: Client,
  application: string | undefined,
  name: string,
  wanted: readonly string[],
): Promise<unknown> {
  for (const kind of wanted) {
    try {
      if (kind === 'application') {
        const applications = await client.request<ApplicationSummary[]>('GET', '/applications?all=true');
        const found = applications.find((each) => each.name === name);
        if (found === undefined) continue;
        return found;
      }
      if (kind !== 'service') return await client.request('GET', `/${kind}s/${encodeURIComponent(name)}`);
      return pickServices(
        await client.request<ServiceInfo[]>('GET', '/services?progress=true'),
        application,
        [name],
      )[0];
    } catch (error) {
      if (codeOf(error) !== 'not_found') throw error;
    }
  }
  const what = wanted.length === 1 ? `a ${wanted[0]}` : 'anything';
  throw new ShoalError('not_found', `Cannot find ${what} called ${JSON.stringify(name)}`, {
    next: 'See `shoal ps`, `shoal node ls`, `shoal volume ls` and `shoal network ls`.',
  });
}
