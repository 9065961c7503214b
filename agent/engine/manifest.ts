import { configBytesMax, digestOf, mediaTypes } from '../../src/registry/content.ts';
import type { Healthcheck } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { ImageConfig } from './engine.ts';
import type { Descriptor } from './messages.ts';

/** An image with more layers than this cannot be mounted by overlayfs. */
const layersMax = 127;

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

export interface ImageManifest {
  config: Descriptor;
  layers: Descriptor[];
}

const layerPattern =
  /^application\/vnd\.(?:docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?|oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?)$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

function invalid(what: string, why: string): ShoalError {
  return new ShoalError('image_invalid', `Cannot use the image: ${what} ${why}`);
}

/** This machine in Go's words, as images name platforms. */
export function hostPlatform(architecture: string = process.arch): Platform {
  const names: Record<string, Platform> = {
    x64: { os: 'linux', architecture: 'amd64' },
    arm64: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    arm: { os: 'linux', architecture: 'arm', variant: 'v7' },
    ia32: { os: 'linux', architecture: '386' },
  };
  return names[architecture] ?? { os: 'linux', architecture };
}

/** What a registry answered for a manifest: an image, or an index of images for several platforms. */
export type ParsedManifest =
  | { kind: 'index'; entries: { descriptor: Descriptor; platform?: Platform }[] }
  | { kind: 'image'; mediaType: string; manifest: ImageManifest };

/**
 * Reads a manifest (OCI image specification 1.1 "manifest" and "index"; Docker manifest version 2, schema 2).
 * The document's own `mediaType` wins over the transport's. Throws `image_invalid`.
 */
export function parseManifest(bytes: Uint8Array, contentType: string): ParsedManifest {
  const value = parseObject(bytes, 'its manifest');
  const declared =
    typeof value['mediaType'] === 'string' ? value['mediaType'] : contentType.split(';')[0]!.trim();
  if (value['schemaVersion'] !== 2)
    throw invalid('its manifest', 'has a schema version other than 2; the image is too old');
  if (
    mediaTypes.indexes.includes(declared) ||
    (!mediaTypes.manifests.includes(declared) && 'manifests' in value)
  ) {
    const entries = asArray(value['manifests'], 'its index').map((entry) => parseEntry(entry));
    return { kind: 'index', entries };
  }
  if (!('config' in value)) throw invalid('its manifest', `is of the unknown type ${declared}`);
  const layers = asArray(value['layers'], 'its manifest').map((layer) => parseDescriptor(layer, 'a layer'));
  if (layers.length > layersMax)
    throw invalid('it', `has ${layers.length} layers; ${layersMax} is the limit`);
  for (const layer of layers) {
    if (!layerPattern.test(layer.mediaType))
      throw invalid('a layer', `is of the unknown type ${layer.mediaType}`);
  }
  const config = parseDescriptor(value['config'], 'its config');
  if (config.size > configBytesMax) throw invalid('its config', 'is too large');
  const mediaType = mediaTypes.manifests.includes(declared) ? declared : mediaTypes.manifests[0]!;
  return { kind: 'image', mediaType, manifest: { config, layers } };
}

/** The index's entry for this platform: same system and architecture, nearest variant. Throws `image_invalid`. */
export function choosePlatform(
  entries: { descriptor: Descriptor; platform?: Platform }[],
  wanted: Platform,
): Descriptor {
  const fitting = entries.filter(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  );
  const best = fitting
    .map((entry) => ({ entry, rank: variantRank(entry.platform?.variant, wanted.variant) }))
    .filter(({ rank }) => rank >= 0)
    .sort((left, right) => right.rank - left.rank)[0];
  if (best) return best.entry.descriptor;
  const offered = entries
    .filter(({ platform }) => platform && platform.os !== 'unknown')
    .map(({ platform }) => `${platform!.os}/${platform!.architecture}`);
  throw invalid(
    'it',
    `is not made for ${wanted.os}/${wanted.architecture}; it is made for ${offered.join(', ') || 'nothing'}`,
  );
}

/** Higher is nearer; negative does not run here. A machine runs every variant up to its own. */
function variantRank(offered: string | undefined, wanted: string | undefined): number {
  const number = (variant: string | undefined) => Number(/^v(\d+)$/.exec(variant ?? '')?.[1] ?? 0);
  const limit = wanted === undefined ? 0 : number(wanted);
  if (number(offered) > limit) return wanted === undefined && number(offered) <= 1 ? 0 : -1;
  return number(offered);
}

export interface ParsedConfig {
  config: ImageConfig;
  /** Digests of the uncompressed layers, lowest first. */
  diffIds: string[];
}

/** Reads an image's config (OCI image specification 1.1, "config"; Docker adds `Healthcheck`). Throws `image_invalid`. */
export function parseConfig(bytes: Uint8Array): ParsedConfig {
  const value = parseObject(bytes, 'its config');
  const rootfs = asObject(value['rootfs'] ?? {}, 'its config');
  const diffIds = strings(rootfs['diff_ids']);
  if (!diffIds.every((id) => digestPattern.test(id))) throw invalid('its config', 'names a malformed layer');
  const settings = asObject(value['config'] ?? {}, 'its config');
  const text = (key: string) => (typeof settings[key] === 'string' ? settings[key] : '');
  const labels = Object.entries(asObject(settings['Labels'] ?? {}, 'its config'));
  const healthcheck = parseHealthcheck(settings['Healthcheck']);
  return {
    diffIds,
    config: {
      entrypoint: strings(settings['Entrypoint']),
      command: strings(settings['Cmd']),
      environment: strings(settings['Env']),
      workingDirectory: text('WorkingDir'),
      user: text('User'),
      exposedPorts: Object.keys(asObject(settings['ExposedPorts'] ?? {}, 'its config')),
      volumes: Object.keys(asObject(settings['Volumes'] ?? {}, 'its config')),
      ...(text('StopSignal') !== '' && { stopSignal: text('StopSignal') }),
      ...(healthcheck && { healthcheck }),
      labels: Object.fromEntries(labels.map(([name, label]) => [name, String(label)])),
    },
  };
}

/** Durations are nanoseconds there; 0 means the default. */
function parseHealthcheck(value: unknown): Healthcheck | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const check = value as Record<string, unknown>;
  const test = strings(check['Test']);
  if (test.length === 0) return undefined;
  const ms = (key: string, name: keyof Healthcheck) =>
    typeof check[key] === 'number' && check[key] > 0 ? { [name]: Math.round(check[key] / 1e6) } : {};
  return {
    test,
    ...ms('Interval', 'intervalMs'),
    ...ms('Timeout', 'timeoutMs'),
    ...ms('StartPeriod', 'startPeriodMs'),
    ...ms('StartInterval', 'startIntervalMs'),
    ...(typeof check['Retries'] === 'number' && check['Retries'] > 0 && { retries: check['Retries'] }),
  };
}

/** Names of the snapshots of an image's layers, lowest first (OCI image specification, "Layer ChainID"). */
export function chainIds(diffIds: string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`)));
  }
  return chain;
}

function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new ShoalError('image_invalid', `Cannot use the image: ${what} is not JSON`, { cause });
  }
  return asObject(value, what);
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(what, 'is malformed');
  return value as Record<string, unknown>;
}

function asArray(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(what, 'is malformed');
  return value;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size } = asObject(value, what);
  if (typeof digest !== 'string' || !digestPattern.test(digest)) throw invalid(what, 'has no sha256 digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(what, 'has no size');
  return { mediaType: typeof mediaType === 'string' ? mediaType : '', digest, size };
}

function parseEntry(value: unknown): { descriptor: Descriptor; platform?: Platform } {
  const descriptor = parseDescriptor(value, 'its index');
  const { platform } = asObject(value, 'its index');
  if (typeof platform !== 'object' || platform === null) return { descriptor };
  const { os, architecture, variant } = platform as Record<string, unknown>;
  return {
    descriptor,
    platform: {
      os: String(os),
      architecture: String(architecture),
      ...(typeof variant === 'string' && { variant }),
    },
  };
}
