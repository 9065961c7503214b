import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { systemClock } from '../../src/util/clock.ts';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { parseSubnet, subnetsOverlap } from '../../src/spec/address.ts';
import { clusterProcesses } from './processes.ts';
import { addresses, markerName, rootLinkName } from './state.ts';

/**
 * The wire between the hosts: a bridge in a network namespace of its own (the switch), held by one process, with one port a
 * host and one for the root namespace. Nothing on it passes through the root namespace's forwarding.
 */

const lockName = '\0shoal-test-hosts'; // an abstract socket: no file, and gone with its holder (unix(7))
const lockLimitMs = 30_000;
/** A switch that cannot be found for so long is not there. */
const switchLimitMs = 1_000;

/** Runs `work` while no other process of this machine is in here. */
async function withMachineLock<T>(work: () => Promise<T>): Promise<T> {
  const deadline = systemClock.now() + lockLimitMs;
  for (;;) {
    const server = createServer();
    try {
      server.listen(lockName);
      await once(server, 'listening');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || systemClock.now() > deadline) throw error;
      await systemClock.sleep(50);
      continue;
    }
    try {
      return await work();
    } finally {
      server.close();
    }
  }
}

/** The environment of everything a cluster runs: little, and the marker by which it is found again. */
export function clusterEnvironment(id: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: '/root',
    LANG: 'C.UTF-8',
    [markerName]: id,
  };
}

/** `10.99.N`, the first one that overlaps no route of the root namespace. */
async function freeSubnet(): Promise<string> {
  const routes = JSON.parse(await runCommand('ip', ['-json', '-4', 'route', 'show', 'table', 'all'])) as {
    dst: string;
  }[];
  const taken = routes
    .map(({ dst }) => dst)
    .filter((destination) => destination !== 'default')
    .map((destination) => parseSubnet(destination.includes('/') ? destination : `${destination}/32`))
    .filter(({ prefix }) => prefix > 8);
  for (let third = 0; third < 256; third++) {
    const candidate = parseSubnet(`10.99.${third}.0/24`);
    if (!taken.some((subnet) => subnetsOverlap(subnet, candidate))) return `10.99.${third}`;
  }
  throw new ShoalError('resource_exhausted', 'Cannot find a free subnet among 10.99.0.0/16');
}

/** Makes the switch and the root namespace's link to it; gives the subnet, which `chosen` is told before it is used. */
export async function makeSwitch(id: string, chosen: (subnet: string) => Promise<void>): Promise<string> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo up; exec sleep infinity'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: clusterEnvironment(id),
  });
  await firstLine(holder, 'the switch');
  return await withMachineLock(async () => {
    const subnet = await freeSubnet();
    await chosen(subnet);
    const commands = [
      `link add ${rootLinkName(id)} type veth peer name root netns ${holder.pid}`,
      `address add ${addresses.root(subnet)}/24 dev ${rootLinkName(id)}`,
      `link set ${rootLinkName(id)} up`,
    ];
    await runCommand('ip', ['-batch', '-'], { input: commands.join('\n') });
    const inside = [
      'link add switch type bridge forward_delay 0',
      `address add ${addresses.switch(subnet)}/24 dev switch`,
      'link set root master switch up',
      'link set switch up',
    ];
    await inSwitch(holder.pid!, ['ip', '-batch', '-'], inside.join('\n'));
    return subnet;
  });
}

/** The process that holds the switch's namespace. */
export async function switchPid(id: string): Promise<number> {
  // Neither command nor environment can be read of a process while one program takes the place of another in it (execve(2)).
  const deadline = systemClock.now() + switchLimitMs;
  do {
    const holder = (await clusterProcesses(id)).find(({ command }) => command.endsWith('sleep infinity'));
    if (holder) return holder.pid;
    await systemClock.sleep(20);
  } while (systemClock.now() < deadline);
  throw new ShoalError('failed_precondition', 'Cannot find the switch of the test hosts: it was killed', {
    next: 'Take the hosts down and make them again.',
  });
}

async function inSwitch(pid: number, command: string[], input?: string): Promise<void> {
  await runCommand('nsenter', [`--net=/proc/${pid}/ns/net`, ...command], { input });
}

/** Lays the cable between the switch and the host whose namespaces `hostPid` is in. */
export async function plug(id: string, name: string, address: string, hostPid: number): Promise<void> {
  const pid = await switchPid(id);
  // a machine that is turned off and on keeps its MAC address: others go on using the one they know
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  const mac = `02:00:${bytes.join(':')}`;
  const cable = `link add name ${name} netns ${pid} type veth peer name eth0 address ${mac} netns ${hostPid}`;
  // the end of an earlier cable goes only some time after the namespace that its other end was in
  await tryCommand('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', 'link', 'delete', 'dev', name]);
  await runCommand('ip', cable.split(' '));
  await inSwitch(pid, ['ip', 'link', 'set', 'dev', name, 'master', 'switch', 'up']);
  const inside = ['link set lo up', `address add ${address}/24 dev eth0`, 'link set eth0 up'];
  await runCommand('nsenter', [`--net=/proc/${hostPid}/ns/net`, 'ip', '-batch', '-'], {
    input: inside.join('\n'),
  });
}

/** Pulls the host's cable out of the switch, or puts it back. */
export async function setPort(id: string, name: string, state: 'up' | 'down'): Promise<void> {
  await inSwitch(await switchPid(id), ['ip', 'link', 'set', 'dev', name, state]);
}

/** Removes the root namespace's link, if it is there; the switch's own go with its last process. */
export async function removeRootLink(id: string): Promise<void> {
  const { exitCode, stderr } = await tryCommand('ip', ['link', 'delete', rootLinkName(id)]);
  // "No such device" when it has gone after ip had found it
  if (exitCode !== 0 && !/Cannot find device|No such device/u.test(stderr)) {
    throw new ShoalError('internal', `Cannot remove the link ${rootLinkName(id)}: ${stderr.trim()}`);
  }
}

/** Waits for the first line that a child prints, and lets go of the child. */
export async function firstLine(child: ChildProcess, what: string): Promise<void> {
  const output = child.stdout!;
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new ShoalError('internal', `Cannot start ${what}: it ended with ${code}`)),
    );
    output.once('data', () => resolve());
  });
  output.destroy();
  child.unref();
}
