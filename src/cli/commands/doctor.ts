import { systemClock } from '../../util/clock.ts';
import { messageOf } from '../../util/errors.ts';
import { localPrefix, type LocalInfo } from '../../wire/api.ts';
import { exitCodes, type Command, type Context } from '../command.ts';
import { examine, localMachine, managerFinding, managersFinding, type Finding } from '../doctor.ts';
import { paint, renderTable } from '../output.ts';

async function checkDaemon(context: Context): Promise<Finding[]> {
  try {
    const client = await context.client();
    const info = await client.request<LocalInfo>('GET', `${localPrefix}/info`, undefined, {
      timeoutMs: 3_000,
    });
    const manager = info.manager ? [managerFinding(info.manager, systemClock.now())] : [];
    return [daemonFinding(info), ...manager, ...(await checkManagers(info, context.signal))];
  } catch (error) {
    return [{ name: 'daemon', state: 'warning', detail: messageOf(error), next: 'shoal daemon' }];
  }
}

async function checkManagers({ managerAddresses }: LocalInfo, signal: AbortSignal): Promise<Finding[]> {
  if (managerAddresses.length === 0) return [];
  const { reach } = await import('../../wire/several.ts');
  const managers = managerAddresses.map((address) =>
    reach(`tcp://${address}`, signal).then(
      () => ({ address }),
      (error: unknown) => ({ address, problem: messageOf(error) }),
    ),
  );
  return [managersFinding(await Promise.all(managers))];
}

function daemonFinding(info: LocalInfo): Finding {
  const { engine } = info;
  if (engine.error) {
    return {
      name: 'daemon',
      state: 'warning',
      detail: `runs, but its engine at ${engine.address} does not answer: ${engine.error}`,
    };
  }
  if (info.state === 'joined' && info.session !== 'connected') {
    const managers = info.managerAddresses.join(', ');
    return {
      name: 'daemon',
      state: 'warning',
      detail: `runs, but has no connection to a manager of its cluster (${managers}): what runs here goes on, nothing new begins`,
      next: 'See the log of the manager on that host, and whether its TCP port can be reached from here.',
    };
  }
  const place =
    info.state === 'joined' ? `${info.role} ${info.nodeId}, session ${info.session}` : 'in no cluster yet';
  return {
    name: 'daemon',
    state: 'ok',
    detail: `${info.version}, ${place}, engine ${engine.version ?? 'starting'}`,
  };
}

export const command: Command = {
  name: 'doctor',
  summary: 'Say what this machine lacks to run Shoal, and how to get it.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal doctor', 'shoal doctor --json'],
  async run(context, parsed) {
    const findings = [...(await examine(localMachine)), ...(await checkDaemon(context))];
    const { output } = context;
    if (parsed.flag('json')) output.print(JSON.stringify(findings, null, 2));
    else {
      output.print(
        renderTable(
          ['CHECK', 'STATE', 'DETAIL'],
          findings.map(({ name, state, detail }) => [name, state, detail]),
        ),
      );
      for (const { name, next } of findings.filter((each) => each.next !== undefined)) {
        output.print(`${paint(output, 'yellow', name)}: ${next}`);
      }
    }
    return findings.some(({ state }) => state === 'missing') ? exitCodes.failed : exitCodes.done;
  },
};
