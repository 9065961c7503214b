import { parseArgs } from 'node:util';
import { resolve } from 'node:path';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { bringUp, openCluster, type Cluster } from './cluster.ts';
import { takeDown } from './down.ts';
import type { Host } from './host.ts';
import { localPrefix, type LocalInfo } from '../../src/wire/api.ts';
import { connect } from '../../src/wire/client.ts';

/** Test hosts by hand; see `usage`. Results go to stdout as JSON, everything else to stderr. */

const usage = `Usage:
  npm run -s hosts -- up N [--managers M] --dir D   make N hosts, form a cluster of them, print it as JSON
  npm run -s hosts -- ls --dir D                    print the hosts that stand
  npm run -s hosts -- cut NAME --dir D              pull a host's network cable
  npm run -s hosts -- heal NAME --dir D             put it back
  npm run -s hosts -- down --dir D                  remove every trace
`;

const options = { dir: { type: 'string' }, managers: { type: 'string' }, help: { type: 'boolean' } } as const;

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({ options, allowPositionals: true });
  const [command = 'help', argument = ''] = positionals;
  if (values.help || command === 'help') return void process.stdout.write(usage);
  if (values.dir === undefined) throw new ShoalError('invalid_argument', 'Cannot do that without --dir');
  const directory = resolve(values.dir);
  switch (command) {
    case 'up': {
      const managers = Number(values.managers ?? 1);
      const onStep = (step: string) => void process.stderr.write(`${step} …\n`);
      return print(await bringUp({ hosts: Number(argument), managers, directory, onStep }));
    }
    case 'ls':
      return print(await openCluster(directory));
    case 'cut':
      return (await openCluster(directory)).host(argument).cut();
    case 'heal':
      return (await openCluster(directory)).host(argument).heal();
    case 'down': {
      const found = await takeDown(directory);
      return void process.stderr.write(found ? 'everything is removed\n' : 'there was nothing\n');
    }
    default:
      throw new ShoalError('invalid_argument', `Cannot do ${JSON.stringify(command)}`, { next: usage });
  }
}

async function print(cluster: Cluster): Promise<void> {
  const hosts = await Promise.all(cluster.hosts.map(describe));
  process.stdout.write(`${JSON.stringify({ registry: cluster.registry, hosts }, null, 2)}\n`);
}

async function describe(host: Host) {
  const client = connect(host.endpoint);
  try {
    const info = await client.request<LocalInfo>('GET', `${localPrefix}/info`);
    const pids = await Promise.all(
      (['agent', 'manager', 'etcd', 'containerd'] as const).map(
        async (part) => [part, (await host.part(part))?.pid] as const,
      ),
    );
    return {
      name: host.name,
      address: host.address,
      networkNamespace: `/proc/${host.initPid}/ns/net`,
      SHOAL_HOST: host.endpoint,
      containerdSocket: host.outside(info.engine.address.replace(/^unix:\/\//, '')),
      pids: { init: host.initPid, ...Object.fromEntries(pids.filter(([, pid]) => pid !== undefined)) },
    };
  } finally {
    client.close();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  if (error instanceof ShoalError && error.next) process.stderr.write(`${error.next}\n`);
  process.exitCode = 1;
}
