import { application, isStranded, serviceKeys, type ServiceKey, type State } from './model.ts';
import { imageOf, type Images } from './project.ts';
import type { Seen } from './reality.ts';

/** What was seen beside what there must be once all is as asked. */

/** Gives a line for everything in which `ls`, `ps`, the hosts and the published ports differ from the state, or from each other. */
export function mismatches(
  seen: Seen,
  state: State,
  images: Images,
  startsBefore: readonly string[],
): string[] {
  return [
    ...serviceKeys.flatMap((key) => serviceMismatches(key, seen, state, images)),
    ...rowMismatches(seen),
    ...summaryMismatches(seen, state),
    ...portMismatches(seen, state),
    ...nodeMismatches(seen, state),
    ...volumeMismatches(seen, state, startsBefore),
  ];
}

function wantedOf(key: ServiceKey, state: State): number {
  return key === 'store' && isStranded(state) ? 0 : state.services[key].replicas;
}

function runningRows({ rows }: Seen, key?: ServiceKey): Seen['rows'] {
  return rows.filter(
    ({ state, service }) => state === 'running' && (key === undefined || service === `${application}_${key}`),
  );
}

function serviceMismatches(key: ServiceKey, seen: Seen, state: State, images: Images): string[] {
  const { version } = state.services[key];
  const wanted = wantedOf(key, state);
  const image = imageOf(images, key, version);
  const rows = runningRows(seen, key);
  const ids = new Set(rows.map(({ id }) => id));
  const containers = seen.containers.filter(({ id }) => ids.has(id));
  return [
    ...(rows.length === wanted ? [] : [`ps shows ${rows.length} tasks of ${key} that run, of ${wanted}`]),
    ...(containers.length === wanted ? [] : [`${containers.length} containers of ${key} run, of ${wanted}`]),
    ...containers
      .filter((each) => each.version !== version || each.image !== image)
      .map(
        (each) =>
          `container ${each.id} of ${key} on ${each.host} is version ${each.version} of ${each.image}`,
      ),
    ...rows.filter((row) => row.image !== image).map((row) => `ps shows ${row.name} with ${row.image}`),
  ];
}

/** `ps` and the hosts, task by task. */
function rowMismatches(seen: Seen): string[] {
  const rows = new Map(runningRows(seen).map((row) => [row.id, row]));
  const containers = new Map(seen.containers.map((container) => [container.id, container]));
  return [
    ...seen.containers
      .filter(({ id }) => !rows.has(id))
      .map(({ id, host }) => `container ${id} runs on ${host}, and ps does not show that it does`),
    ...[...rows.values()]
      .filter(({ id, node }) => containers.get(id)?.host !== node)
      .map(({ id, name, node }) => `ps shows ${name} (${id}) running on ${node}, and it does not`),
  ];
}

function summaryMismatches({ summary }: Seen, state: State): string[] {
  if (summary === undefined) return ['ls does not show the project'];
  const desired = serviceKeys.reduce((sum, key) => sum + state.services[key].replicas, 0);
  const serving = serviceKeys.reduce((sum, key) => sum + wantedOf(key, state), 0);
  const is = `${summary.serving}/${desired} serving, ${summary.updated}/${summary.desired} updated, ${summary.state}`;
  const isRight = isStranded(state)
    ? summary.serving === serving && summary.desired === desired && summary.state !== 'running'
    : summary.serving === serving &&
      summary.updated === serving &&
      summary.desired === desired &&
      summary.state === 'running';
  return isRight ? [] : [`ls shows ${is}; it is ${serving}/${desired}`];
}

function portMismatches({ answers, secondPortOn, containers }: Seen, { services }: State): string[] {
  const replicas = new Set(containers.map(({ id }) => id));
  const hosts = [...new Set(answers.map(({ host }) => host))];
  const wrong = answers.flatMap(({ host, answer }) => {
    if (typeof answer === 'string') return [`the port of ${host} does not answer: ${answer}`];
    const { version, replica, api } = answer;
    if (version !== services.web.version)
      return [`the port of ${host} answers with version ${version} of web`];
    if (api.version !== services.api.version)
      return [`web asked by ${host} is answered by version ${api.version} of api`];
    const gone = [replica, api.replica].filter((each) => !replicas.has(each));
    return gone.map((each) => `the port of ${host} answers from ${each}, which does not run`);
  });
  const open = services.web.secondPort ? hosts : [];
  const isRight = open.length === secondPortOn.length;
  return isRight
    ? wrong
    : [...wrong, `the second port is open on ${secondPortOn.join(', ') || 'no host'}, of ${open.length}`];
}

function nodeMismatches({ containers }: Seen, { drained }: State): string[] {
  return containers
    .filter(({ host }) => host === drained)
    .map(({ id, host }) => `container ${id} runs on ${host}, which is drained`);
}

/** The data is on one node, and nothing that was noted there is missing. */
function volumeMismatches({ starts }: Seen, { home }: State, before: readonly string[]): string[] {
  const elsewhere = starts
    .filter(({ host }) => host !== home)
    .map(({ host }) => `the volume is on ${host} too`);
  const lines = starts.find(({ host }) => host === home)?.lines ?? [];
  const isKept = before.every((line, index) => lines[index] === line);
  return isKept
    ? elsewhere
    : [...elsewhere, `the volume on ${home} does not have what was noted there before`];
}
