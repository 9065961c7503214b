import { checkDeviceRequests } from './device-requests.ts';
import { bothLimits, securityOption } from './settings.ts';
import type { PathSegment } from './tree.ts';
import type { CanonicalService } from './model.ts';
import type { Speaker } from './speaker.ts';
import { sharedService } from './sharing.ts';

/**
 * Checks what must hold between the settings of one service's containers. Most of it compose-go takes, and a container
 * could not be run so: it is refused.
 */
export function checkSettings(
  path: readonly PathSegment[],
  service: CanonicalService,
  speaker: Speaker,
): void {
  const { refuse } = speaker;
  if (service.uts === 'host' && service.hostname !== undefined) {
    refuse(
      [...path, 'hostname'],
      'with uts: host the container has the host’s own name',
      'leave out one of them',
    );
  }
  if (service.network_mode !== undefined) {
    checkNetworkMode(path, service, service.network_mode, speaker);
  }
  for (const [index, { command, image }] of service.pre_start?.entries() ?? []) {
    if (image !== undefined || (command?.length ?? 0) > 0) continue;
    refuse([...path, 'pre_start', index], 'it would run the service itself', 'add command: or image:');
  }
  checkCpus(path, service, speaker);
  checkDeviceRequests(path, service, refuse);
  if (service.memswap_limit !== undefined) checkSwap(path, service, speaker);
  for (const [name, limit] of Object.entries(service.ulimits ?? {})) {
    const { soft, hard } = bothLimits(limit);
    if (hard === -1 || (soft !== -1 && soft <= hard)) continue;
    refuse([...path, 'ulimits', name], 'the soft limit is above the hard one', 'raise hard or lower soft');
  }
  if (service.security_opt !== undefined) {
    checkSecurity([...path, 'security_opt'], service.security_opt, speaker);
  }
}

function checkSecurity(path: readonly PathSegment[], options: readonly string[], { refuse }: Speaker): void {
  for (const name of ['seccomp', 'apparmor']) {
    const said = options.map(securityOption);
    const ones = new Set(said.filter((option) => option.startsWith(`${name}=`)));
    if (ones.size < 2) continue;
    refuse(path, `it names more than one ${name} profile`, 'keep one of them');
  }
  for (const [index, entry] of options.entries()) {
    if (!/^no-new-privileges[:=]false$/u.test(entry)) continue;
    const others = options.filter((other) => /^no-new-privileges(?:[:=]true)?$/u.test(other));
    if (others.length > 0) refuse([...path, index], 'it is asked for as well', 'keep one of them');
  }
}

function checkNetworkMode(
  path: readonly PathSegment[],
  service: CanonicalService,
  mode: string,
  { complain, refuse }: Speaker,
): void {
  if (Object.keys(service.networks).length > 0) {
    complain([...path, 'network_mode'], 'the service joins networks as well', 'leave out one of them');
  }
  if ((service.ports ?? []).length > 0) {
    const shared = sharedService(mode);
    const hint =
      mode === 'host'
        ? 'leave out ports: the program’s own are open on its host'
        : shared === undefined
          ? 'leave out one of them'
          : `publish them on ${shared}`;
    refuse([...path, 'ports'], `with network_mode: ${mode} no port can be published`, hint);
  }
  if (mode === 'host' && Object.keys(service.sysctls ?? {}).some((name) => name.startsWith('net.'))) {
    refuse(
      [...path, 'sysctls'],
      'with network_mode: host net.* would be the host’s own',
      'leave out one of them',
    );
  }
}

function checkCpus(path: readonly PathSegment[], service: CanonicalService, { refuse }: Speaker): void {
  const limited = (service.cpus ?? service.deploy?.resources?.limits?.cpus ?? 0) > 0;
  for (const name of ['cpu_quota', 'cpu_period'] as const) {
    if (!limited || (service[name] ?? 0) <= 0) continue;
    refuse([...path, name], 'the limit of cpus says the same in another way', 'keep cpus');
  }
}

function checkSwap(path: readonly PathSegment[], service: CanonicalService, { refuse }: Speaker): void {
  const swap = Number(service.memswap_limit ?? 0);
  const memory = Number(service.mem_limit ?? service.deploy?.resources?.limits?.memory ?? 0);
  if (swap <= 0) return;
  if (memory === 0) {
    refuse([...path, 'memswap_limit'], 'it limits memory and swap together', 'give a memory limit as well');
  } else if (swap < memory) {
    refuse([...path, 'memswap_limit'], 'it counts memory as well, and is below that limit', 'raise it');
  }
}
