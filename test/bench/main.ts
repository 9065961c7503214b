import { parseArgs } from 'node:util';
import { messageOf } from '../../src/util/errors.ts';
import { attackTable, measureAttacks } from './attack.ts';
import { composeTable, measureCompose } from './compose.ts';
import { controlTable, measureControl } from './control.ts';
import { dataTable, measureData } from './data/data.ts';
import { failoverTable, measureFailover } from './failover.ts';
import { faultKinds, faultsTable, measureFaults } from './faults/faults.ts';
import { hurtTable, measureHurt } from './hurt/hurt.ts';
import { linearizabilityTable, measureLinearizability } from './linearizability.ts';
import { managersTable, measureManagers } from './managers.ts';
import { measurePeer, peerTable } from './peer.ts';
import { measureRefusal, refusalTable } from './refusal.ts';
import { measureScale, scaleTable } from './scale.ts';
import { measureStart, startTable } from './start.ts';
import { measureStore, storeTable } from './store.ts';

/** Benches on this machine. Seconds depend on it; the ratios to the floor, which is measured in the same run, travel better. */

const usage = `Usage:
  npm run bench -- scale [--rounds N] [--json]   real containers on three hosts: 3 → 30 → 60 → 3 replicas
  npm run bench -- failover [--rounds N] [--json] a host is cut off, a program is killed: how long until all runs again
  npm run bench -- managers [--managers 3|5] [--only FAULT] [--rounds N] [--json]
      the manager that leads is lost: how long until another one accepts a change, what of an application under load was touched
  npm run bench -- control [--rounds N] [--size TASKSxNODES] [--json] one task changes, one node dies: what it costs the manager's loops
  npm run bench -- compose [--rounds N] [--json] files of 100 to 5,000 services, from text to specs
  npm run bench -- peer --binary PATH [--rounds N] [--json]   shoal config beside docker compose config
  npm run bench -- refusal [--rounds N] [--json] hostile files, until they are refused
  npm run bench -- start [--rounds N] [--json]   how long the command line takes to start
  npm run bench -- faults [--kind ${faultKinds.join('|')}] [--only FAULT] [--rounds N] [--replicas N] [--seed S] [--json]
      parts of hosts killed, stopped, filled, frozen, cut and changed: what healthy was restarted, what was not reached
  npm run bench -- hurt [--changes N] [--seed S] [--only ROUND] [--json]
      good and bad changes by two clients under load: requests lost, and whether exit codes, ls, ps and the hosts agree
  npm run bench -- linearizability [--rounds FAULTS] [--seed S] [--json]
      members of etcd paused and killed: whether what the clients of three stores were told contradicts itself
  npm run bench -- store [--only writes|moves] [--rounds N] [--json]
      writes a second and their time: the store on etcd and on SQLite beside etcd alone; moves between both under writers
  npm run bench -- data [--rounds N] [--only EVENT] [--seed S] [--json]   drains, failures and moves with three databases: no acknowledged write is missing
  npm run bench -- attack [--only ATTACK,…] [--json]   a manager under attack: answers, sessions, memory
`;

const benches = {
  scale: { measure: measureScale, table: scaleTable, rounds: 3 },
  failover: { measure: measureFailover, table: failoverTable, rounds: 5 },
  compose: { measure: measureCompose, table: composeTable, rounds: 5 },
  refusal: { measure: measureRefusal, table: refusalTable, rounds: 3 },
  start: { measure: measureStart, table: startTable, rounds: 20 },
};

async function report<T>(
  bench: { measure: (rounds: number) => Promise<T>; table: (result: T) => string; rounds: number },
  options: { rounds?: string; json?: boolean },
): Promise<void> {
  const result = await bench.measure(Number(options.rounds ?? bench.rounds));
  process.stdout.write(`${options.json ? JSON.stringify(result, null, 2) : bench.table(result)}\n`);
}

try {
  const { positionals, values } = parseArgs({
    options: {
      json: { type: 'boolean' },
      rounds: { type: 'string' },
      seed: { type: 'string' },
      replicas: { type: 'string' },
      only: { type: 'string' },
      binary: { type: 'string' },
      size: { type: 'string' },
      kind: { type: 'string' },
      changes: { type: 'string' },
      managers: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [name] = positionals;
  if (name === 'scale') await report(benches.scale, values);
  else if (name === 'failover') await report(benches.failover, values);
  else if (name === 'store')
    await report(
      { measure: (rounds) => measureStore(rounds, values.only), table: storeTable, rounds: 3 },
      values,
    );
  else if (name === 'attack')
    await report({ measure: () => measureAttacks(values.only), table: attackTable, rounds: 1 }, values);
  else if (name === 'data') {
    const { only, seed } = values;
    const options = {
      ...(only !== undefined && { only }),
      ...(seed !== undefined && { seed: Number(seed) }),
    };
    const measure = (rounds: number) => measureData({ rounds, ...options });
    await report({ measure, table: dataTable, rounds: 50 }, values);
  } else if (name === 'compose') await report(benches.compose, values);
  else if (name === 'refusal') await report(benches.refusal, values);
  else if (name === 'control') {
    const [tasks = NaN, nodes = NaN] = values.size?.split('x').map(Number) ?? [];
    const sizes = values.size === undefined ? undefined : [{ tasks, nodes }];
    const measure = (rounds: number) => measureControl(rounds, sizes);
    await report({ measure, table: controlTable, rounds: 10 }, values);
  } else if (name === 'start') await report(benches.start, values);
  else if (name === 'peer' && values.binary !== undefined) {
    const { binary } = values;
    const measure = (rounds: number) => measurePeer(rounds, binary);
    await report({ measure, table: peerTable, rounds: 5 }, values);
  } else if (name === 'faults') {
    const { kind, only } = values;
    const options = {
      replicas: Number(values.replicas ?? 150),
      ...(values.seed !== undefined && { seed: Number(values.seed) }),
      ...(kind !== undefined && { kind }),
      ...(only !== undefined && { only }),
    };
    const measure = (rounds: number) => measureFaults({ rounds, ...options });
    await report({ measure, table: faultsTable, rounds: 1 }, values);
  } else if (name === 'managers') {
    const { only, managers = '3' } = values;
    const options = { managers: Number(managers), ...(only !== undefined && { only }) };
    const measure = (rounds: number) => measureManagers({ rounds, ...options });
    await report({ measure, table: managersTable, rounds: 4 }, values);
  } else if (name === 'linearizability') {
    const seed = values.seed === undefined ? undefined : Number(values.seed);
    const measure = (faults: number) => measureLinearizability(faults, seed);
    await report({ measure, table: linearizabilityTable, rounds: 100 }, values);
  } else if (name === 'hurt') {
    const { seed, only } = values;
    const options = {
      changes: Number(values.changes ?? 100),
      ...(seed !== undefined && { seed: Number(seed) }),
      ...(only !== undefined && { only: Number(only) }),
    };
    await report({ measure: () => measureHurt(options), table: hurtTable, rounds: 1 }, values);
  } else {
    process.stderr.write(usage);
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
