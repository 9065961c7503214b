import { isUsableAddress, parseAddress, parseSubnet } from '../../src/spec/address.ts';
import type { ApplicationSpec, ExternalNames } from '../../src/spec/application.ts';
import { parseConstraint } from '../../src/spec/constraint.ts';
import {
  applicationObjectsMax,
  configBytesMax,
  secretBytesMax,
  serviceBytesMax,
} from '../../src/spec/defaults.ts';
import type { FileSpec } from '../../src/spec/resource.ts';
import type { ServiceSpec } from '../../src/spec/service.ts';
import { parseSpread } from '../../src/spec/spread.ts';
import { fullName, versionedName } from '../../src/spec/names.ts';
import { whySingle } from '../../src/spec/single.ts';
import { driverOptionsFault } from '../../src/spec/volume-options.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { checkClosed, prepareClosed } from '../../src/wire/check.ts';
import type { Schema } from '../../src/wire/schema.ts';
import { placeIn } from './place.ts';
import { applicationSchema } from './schema.ts';
import { sharingFault } from './sharing.ts';

// Compiling takes a while: at the start, and not while the first application is waited for.
prepareClosed([applicationSchema]);

/** The value, known to fit the schema; throws `invalid_argument` with the path of the first thing that does not. */
export function checkSchema<T>(schema: Schema<T>, value: unknown): T {
  const checked = checkClosed(schema, value);
  if (checked.fault === undefined) return checked.value;
  throw invalid(checked.fault.path, checked.fault.why);
}

/**
 * The application, known to be well-formed and consistent; throws `invalid_argument` with the service and attribute that
 * are wrong and, in `details`, their path, and `resource_exhausted` for what is too large.
 */
export function validateApplication(value: unknown): ApplicationSpec {
  try {
    return soundApplication(value);
  } catch (error) {
    const path = error instanceof ShoalError && (error.details as { path?: unknown } | undefined)?.path;
    if (typeof path !== 'string' || path === '') throw error;
    const { code, message, next, details } = error as ShoalError;
    throw new ShoalError(
      code,
      message.replace(path, () => placeIn(value, path)),
      { next, details },
    );
  }
}

function soundApplication(value: unknown): ApplicationSpec {
  checkCount(value);
  const spec = checkSchema(applicationSchema, value);
  checkServiceBytes(spec);
  checkNames(spec);
  checkContainerNames(spec);
  for (const [index, network] of spec.networks.entries()) {
    for (const key of ['subnet', 'range'] as const) {
      const text = network[key];
      if (text !== undefined) check(`/networks/${index}/${key}`, () => parseSubnet(text));
    }
  }
  for (const [index, { driverOptions }] of spec.volumes.entries()) {
    const fault = driverOptions && driverOptionsFault(driverOptions);
    if (fault) throw invalid(`/volumes/${index}/driverOptions`, fault.why);
  }
  for (const [index, secret] of spec.secrets.entries())
    checkFile(`/secrets/${index}`, secret, secretBytesMax);
  for (const [index, config] of spec.configs.entries())
    checkFile(`/configs/${index}`, config, configBytesMax);
  for (const [index, service] of spec.services.entries()) checkService(`/services/${index}`, service, spec);
  const fault = sharingFault(spec.services);
  if (fault !== undefined) {
    throw invalid(`/services/${spec.services.indexOf(fault.service)}${fault.path}`, fault.why);
  }
  return spec;
}

/** Before the schema is looked at, which has no words for it. */
function checkCount(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const { services, networks, volumes, secrets, configs } = value as Partial<ApplicationSpec>;
  const lists = [services, networks, volumes, secrets, configs].filter((list) => Array.isArray(list));
  const objects = lists.reduce((sum, list) => sum + list.length, 0);
  if (objects <= applicationObjectsMax) return;
  throw new ShoalError(
    'resource_exhausted',
    `Cannot take an application of ${objects} objects: ${applicationObjectsMax} is the most`,
    { next: 'Make several applications of it.' },
  );
}

function checkServiceBytes(spec: ApplicationSpec): void {
  for (const service of spec.services) {
    const bytes = Buffer.byteLength(JSON.stringify(service));
    if (bytes <= serviceBytesMax) continue;
    throw new ShoalError(
      'resource_exhausted',
      `Cannot take the service ${service.name}: it is ${bytes} bytes long, and ${serviceBytesMax} is the most`,
      { next: 'Put long texts into configs, and let the programs read files.' },
    );
  }
}

function checkNames(spec: ApplicationSpec): void {
  for (const kind of ['services', 'networks', 'volumes', 'secrets', 'configs'] as const) {
    const seen = new Set<string>();
    for (const [index, { name, application }] of spec[kind].entries()) {
      const path = `/${kind}/${index}`;
      if (application !== spec.name) throw invalid(`${path}/application`, `it must be ${spec.name}`);
      if (seen.has(name)) throw invalid(`${path}/name`, `${name} is there twice`);
      seen.add(name);
    }
  }
}

function checkContainerNames(spec: ApplicationSpec): void {
  const names = spec.services.flatMap(({ containerName }) => containerName ?? []);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid('/services', `two of them have the containerName ${twice}`);
}

function checkFile(path: string, file: FileSpec, bytesMax: number): void {
  const bytes = checkFileContent(`${path}/data`, file.data, bytesMax);
  // Files are told apart by name alone, on every node: a name that stood for two contents would mix them up.
  const digest = versionedName('', '', bytes).slice(-13);
  if (!file.name.endsWith(digest)) throw invalid(`${path}/name`, `it must end in ${digest}, for its content`);
}

/** The content of a secret or config from base64; throws `invalid_argument`. */
export function checkFileContent(path: string, data: string, bytesMax: number): Buffer {
  const bytes = Buffer.from(data, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') !== data.replace(/=+$/, '')) {
    throw invalid(path, 'it is not base64');
  }
  if (bytes.length > bytesMax) throw invalid(path, `it is over ${bytesMax} bytes`);
  return bytes;
}

function checkService(path: string, service: ServiceSpec, spec: ApplicationSpec): void {
  const { task, ports, endpointMode, dependsOn } = service;
  if (service.name !== fullName(spec.name, service.key)) {
    throw invalid(`${path}/name`, `it must be ${fullName(spec.name, service.key)}`);
  }
  for (const [index, text] of task.placement.constraints.entries()) {
    check(`${path}/task/placement/constraints/${index}`, () => parseConstraint(text));
  }
  for (const [index, text] of (task.placement.spread ?? []).entries()) {
    check(`${path}/task/placement/spread/${index}`, () => parseSpread(text));
  }
  const targets = (kind: keyof ExternalNames) => [
    ...spec[kind],
    ...(spec.external?.[kind] ?? []).map((name) => ({ name })),
  ];
  checkReferences(`${path}/task/networks`, task.networks, targets('networks'));
  checkReferences(`${path}/task/container/secrets`, task.container.secrets, targets('secrets'));
  checkReferences(`${path}/task/container/configs`, task.container.configs, targets('configs'));
  for (const [index, mount] of task.container.mounts.entries()) {
    if (mount.type !== 'volume' || mount.source === undefined) continue;
    checkReferences(`${path}/task/container/mounts/${index}`, [{ name: mount.source }], targets('volumes'));
  }
  const dependencies = dependsOn.map((dependency) => ({ name: dependency.service }));
  checkReferences(`${path}/dependsOn`, dependencies, spec.services);
  const links = (service.links ?? []).map((link) => ({ name: link.service }));
  checkReferences(`${path}/links`, links, spec.services);
  checkAddresses(path, service, spec);
  const single = service.mode.kind === 'global' || service.mode.replicas > 1 ? whySingle(service) : undefined;
  if (single !== undefined) throw invalid(`${path}/mode`, `it can have one replica only, for ${single}`);
  for (const [index, { published }] of [...ports, ...task.hostPorts].entries()) {
    if (typeof published === 'object' && published.first > published.last) {
      throw invalid(`${path}/ports/${index}/published`, 'the range ends before it begins');
    }
  }
  if (ports.length === 0) return;
  if (endpointMode === 'dnsrr') throw invalid(`${path}/ports`, 'dnsrr and ingress ports exclude each other');
  if (task.networks.length === 0) throw invalid(`${path}/ports`, 'ingress ports need a network');
}

/** Fixed addresses are in the subnets that their networks ask for, and no two tasks have them at a time. */
function checkAddresses(path: string, { task, update, rollback }: ServiceSpec, spec: ApplicationSpec): void {
  const taken = new Set(task.networks.flatMap(({ interfaceName }) => interfaceName ?? []));
  if (taken.size < task.networks.filter(({ interfaceName }) => interfaceName !== undefined).length) {
    throw invalid(`${path}/task/networks`, 'two interfaces have the same name');
  }
  for (const [index, { name, address }] of task.networks.entries()) {
    if (address === undefined) continue;
    const where = `${path}/task/networks/${index}/address`;
    if (update.order === 'start-first' || rollback.order === 'start-first') {
      throw invalid(where, 'with start-first two tasks would have it at once');
    }
    const network = spec.networks.find((one) => one.name === name);
    if (network === undefined) continue;
    if (network.subnet === undefined) throw invalid(where, `network ${name} has no subnet of its own`);
    const isUsable = isUsableAddress(parseSubnet(network.subnet), parseAddress(address));
    if (!isUsable || network.reserved?.includes(address) === true) {
      throw invalid(where, `network ${name} has no such address to give`);
    }
  }
}

function checkReferences(path: string, references: { name: string }[], targets: { name: string }[]): void {
  for (const [index, { name }] of references.entries()) {
    if (!targets.some((target) => target.name === name)) {
      throw invalid(`${path}/${index}`, `${name} is not part of the application`);
    }
  }
}

function check(path: string, work: () => unknown): void {
  try {
    work();
  } catch (error) {
    throw invalid(path, messageOf(error));
  }
}

function invalid(path: string, why: string): ShoalError {
  return new ShoalError('invalid_argument', `Cannot use ${path === '' ? 'the request' : path}: ${why}`, {
    details: { path },
  });
}
