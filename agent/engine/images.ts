import { isRetryable, pauseAfter, pullError, RepositoryClient } from '../../src/registry/client.ts';
import { configBytesMax, digestOf, manifestBytesMax } from '../../src/registry/content.ts';
import { canonicalReference, parseReference, type Reference } from '../../src/registry/reference.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { KeyedQueue, Limiter } from '../../src/util/queue.ts';
import { systemRandom } from '../../src/util/random.ts';
import { retry } from '../../src/util/retry.ts';
import { type ContainerdClient, grpcCodes, grpcStatus, isAlreadyExists, isNotFound } from './client.ts';
import { isNoSpace } from '../disk/space.ts';
import { planImages } from './image-use.ts';
import { downloadContent, hasContent, keepInLease, readContent, writeContent } from './content.ts';
import type { Image, PullProgress } from './engine.ts';
import {
  chainIds,
  choosePlatform,
  hostPlatform,
  parseConfig,
  parseManifest,
  type ImageManifest,
  type ParsedConfig,
} from './manifest.ts';
import { SharedPulls, type PullOptions } from './pulls.ts';
import { ImageRoom } from './room.ts';
import { makeSnapshot } from './snapshots.ts';

const layersAtOnce = 3;
const manifestAttempts = 4;
/** What an interrupted pull has brought is kept this long. */
const leaseLifetimeMs = 24 * 60 * 60 * 1000;
const unpackTimeoutMs = 20 * 60 * 1000;
/** Images whose manifest and config are remembered. */
const cachedImagesMax = 256;
/** On an image's record: when it was last used, ms since the epoch. */
const usedLabel = 'shoal.used-at';
/** When it was pulled last, ms since the epoch. */
const pulledLabel = 'shoal.pulled-at';

/** An image as the engine needs it to make a snapshot. */
export interface StoredImage {
  image: Image;
  /** Snapshot of all its layers. Empty for an image without layers. */
  chainId: string;
}

interface Resolved {
  digest: string;
  mediaType: string;
  bytes: Buffer;
  manifest: ImageManifest;
  configBytes: Buffer;
  config: ParsedConfig;
}

/** Images in containerd's store: finding them, and bringing them from a registry. */
export class ImageStore {
  readonly #client: ContainerdClient;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #insecureRegistries: readonly string[];
  readonly #room: ImageRoom;
  readonly #pulls = new SharedPulls<Image>();
  /** An attempt that was given up may still be ending when the next begins; both use the same lease. */
  readonly #leasing = new KeyedQueue();
  readonly #unpacking = new KeyedQueue();
  readonly #downloading = new KeyedQueue();
  readonly #cache = new Map<string, { config: ParsedConfig; chain: string[] }>();
  /** When this process last used an image, by full name. */
  readonly #used = new Map<string, number>();
  #snapshotter: Promise<string> | undefined;

  constructor(options: {
    client: ContainerdClient;
    clock: Clock;
    log: Logger;
    insecureRegistries: readonly string[];
    /** Where containerd keeps its content: what is free there decides whether an image can be pulled. */
    contentDirectory: string;
  }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#insecureRegistries = options.insecureRegistries;
    this.#room = new ImageRoom(options.contentDirectory);
  }

  /** The snapshotter in use: overlayfs where containerd has it here, else native. */
  snapshotter(): Promise<string> {
    this.#snapshotter ??= this.#chooseSnapshotter().catch((error: unknown) => {
      this.#snapshotter = undefined;
      throw error;
    });
    return this.#snapshotter;
  }

  /** The image by its reference when manifest, config and unpacked layers are all here. */
  async find(reference: string): Promise<StoredImage | undefined> {
    const name = canonicalReference(parseReference(reference));
    this.#used.set(name, this.#clock.now());
    const answer = await this.#client.call('Images.Get', { name }).catch(ignoreNotFound);
    const digest = answer?.image?.target?.digest;
    const stored = digest === undefined ? undefined : await this.load(reference, digest);
    const pulledAt = Number(answer?.image?.labels[pulledLabel]);
    return stored && pulledAt > 0 ? { ...stored, image: { ...stored.image, pulledAt } } : stored;
  }

  /** The image by its manifest's digest, when everything of it is here. */
  async load(reference: string, digest: string): Promise<StoredImage | undefined> {
    const cached = this.#cache.get(digest) ?? (await this.#read(digest));
    if (!cached) return undefined;
    const chainId = cached.chain.at(-1) ?? '';
    if (chainId !== '' && !(await this.#hasSnapshot(chainId))) return undefined;
    this.#remember(digest, cached);
    return { image: { reference, digest, config: cached.config.config }, chainId };
  }

  /** The chain id of an image that was found or pulled before; nothing when it has to be loaded. */
  chainIdOf(digest: string): string | undefined {
    const cached = this.#cache.get(digest);
    return cached && (cached.chain.at(-1) ?? '');
  }

  /** Brings an image here. Callers that want the same reference at the same time share the work. */
  async pull(text: string, options: PullOptions): Promise<Image> {
    const reference = parseReference(text);
    this.#used.set(canonicalReference(reference), this.#clock.now());
    const image = await this.#pulls.run(canonicalReference(reference), options, (report, signal) =>
      this.#leasing.run(canonicalReference(reference), () => this.#pull(text, reference, report, signal)),
    );
    return { ...image, reference: text };
  }

  /**
   * Removes images that neither a container nor any of `keep` uses and that were not used for `unusedMs`; gives their
   * names. The collector frees what is theirs alone. Does nothing while something is being pulled.
   */
  async removeUnused(keep: Iterable<string>, unusedMs: number): Promise<string[]> {
    if (this.#pulls.size > 0) return [];
    const [{ images }, { containers }] = await Promise.all([
      this.#client.call('Images.List', { filters: [] }),
      this.#client.call('Containers.List', { filters: [] }),
    ]);
    const references = [...keep, ...containers.map(({ image }) => image)].filter((text) => text !== '');
    const inUse = new Set(references.flatMap(nameOf));
    const uses = images.map(({ name, labels }) => {
      const usedAt = Number(labels[usedLabel]);
      return usedAt > 0 ? { name, usedAt } : { name };
    });
    const times = { now: this.#clock.now(), unusedMs };
    const { remove, mark } = planImages(uses, inUse, this.#used, times);
    for (const { name, usedAt } of mark) await this.#mark(name, usedAt);
    // what is older is on record now, or of an image that is not here
    for (const [name, at] of this.#used) if (times.now - at > unusedMs) this.#used.delete(name);
    const removed: string[] = [];
    for (const name of remove) {
      // one that was asked for since the look stays
      if (this.#pulls.size > 0 || (this.#used.get(name) ?? 0) >= times.now) continue;
      await this.#client.call('Images.Delete', { name, sync: true }).catch(ignoreNotFound);
      const digest = images.find((image) => image.name === name)?.target?.digest;
      if (digest !== undefined) this.#cache.delete(digest);
      this.#used.delete(name);
      removed.push(name);
    }
    return removed;
  }

  async #mark(name: string, usedAt: number): Promise<void> {
    const image = { name, labels: { [usedLabel]: String(usedAt) }, target: null };
    const updateMask = { paths: [`labels.${usedLabel}`] };
    await this.#client.call('Images.Update', { image, updateMask }).catch(ignoreNotFound);
  }

  async #pull(
    text: string,
    reference: Reference,
    report: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<Image> {
    report({ phase: 'resolving', doneBytes: 0, totalBytes: 0 });
    const name = canonicalReference(reference);
    const lease = await this.#beginLease(name);
    let attempt: { digest: string; freeBytes: number | undefined } | undefined;
    try {
      const options = { reference, insecureRegistries: this.#insecureRegistries, clock: this.#clock };
      const repository = new RepositoryClient(options);
      const onTrouble = (error: unknown) =>
        report({ phase: 'resolving', doneBytes: 0, totalBytes: 0, trouble: messageOf(error) });
      const resolved = await this.#resolve(repository, reference, onTrouble, signal);
      const { digest, config } = resolved;
      const chain = chainIds(config.diffIds);
      const freeBytes = await this.#room.check(name, digest, await this.#missingBytes(resolved));
      attempt = { digest, freeBytes };
      await this.#download(repository, resolved, lease, report, signal);
      await this.#store(resolved, chain, lease, signal);
      await this.#unpack(resolved, chain, lease, report, signal);
      const pulledAt = await this.#record(name, resolved);
      this.#room.succeeded(digest);
      this.#remember(digest, { config, chain });
      await this.#endLease(lease);
      return { reference: text, digest, config: config.config, pulledAt };
    } catch (error) {
      const isFull = attempt !== undefined && !signal.aborted && isNoSpace(error);
      const failure = isFull
        ? this.#room.failed(name, attempt!.digest, attempt!.freeBytes, error)
        : signal.aborted
          ? signal.reason
          : pullError(reference, error);
      // what came so far is worth keeping only when another attempt may succeed, and never when the disk is full
      if (/^image_|^no_space$/.test(codeOf(failure))) await this.#endLease(lease);
      throw failure;
    }
  }

  /** How much of the image is to be downloaded. */
  async #missingBytes({ manifest }: Resolved): Promise<number> {
    const sizes = distinct(manifest.layers).map(async ({ digest, size }) =>
      (await hasContent(this.#client, digest)) ? 0 : size,
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** Manifest and config of the image for this machine, verified. */
  async #resolve(
    repository: RepositoryClient,
    reference: Reference,
    onTrouble: (error: unknown) => void,
    signal: AbortSignal,
  ): Promise<Resolved> {
    const options = {
      attempts: manifestAttempts,
      retryable: (error: unknown) => {
        if (isRetryable(error)) onTrouble(pullError(reference, error));
        return isRetryable(error);
      },
      pauseMs: pauseAfter,
      signal,
      clock: this.#clock,
    };
    const fetch = (tagOrDigest: string) => retry(() => repository.manifest(tagOrDigest, signal), options);
    let answer = await fetch(reference.digest ?? reference.tag!);
    let parsed = parseManifest(answer.bytes, answer.contentType);
    if (parsed.kind === 'index') {
      const descriptor = choosePlatform(parsed.entries, hostPlatform());
      answer = await fetch(descriptor.digest);
      parsed = parseManifest(answer.bytes, descriptor.mediaType);
    }
    if (parsed.kind === 'index') {
      throw new ShoalError('image_invalid', 'Cannot use the image: its index names another index');
    }
    const { manifest, mediaType } = parsed;
    const configBytes = await retry(() => repository.blob(manifest.config.digest, signal), options);
    const config = parseConfig(configBytes);
    if (config.diffIds.length !== manifest.layers.length) {
      throw new ShoalError(
        'image_invalid',
        'Cannot use the image: its config and manifest name different layers',
      );
    }
    return { digest: answer.digest, mediaType, bytes: answer.bytes, manifest, configBytes, config };
  }

  async #download(
    repository: RepositoryClient,
    resolved: Resolved,
    lease: string,
    report: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const layers = distinct(resolved.manifest.layers);
    const totalBytes = layers.reduce((sum, layer) => sum + layer.size, 0);
    const done = new Map<string, number>();
    const tell = () => {
      const doneBytes = done.values().reduce((sum, bytes) => sum + bytes, 0);
      report({ phase: 'downloading', doneBytes, totalBytes });
    };
    tell();
    const limiter = new Limiter(layersAtOnce);
    const results = await Promise.allSettled(
      layers.map((descriptor) =>
        limiter.run(() => {
          const onBytes = (bytes: number) => {
            done.set(descriptor.digest, bytes);
            tell();
          };
          signal.throwIfAborted();
          return this.#downloading.run(descriptor.digest, () =>
            downloadContent(this.#client, {
              repository,
              descriptor,
              lease,
              signal,
              clock: this.#clock,
              onBytes,
            }),
          );
        }),
      ),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Config and manifest, labelled so that the collector keeps what they name (containerd docs, garbage-collection). */
  async #store(resolved: Resolved, chain: string[], lease: string, signal: AbortSignal): Promise<void> {
    const { manifest, bytes, digest, configBytes } = resolved;
    const top = chain.at(-1);
    const snapshotter = await this.snapshotter();
    const common = { lease, signal, clock: this.#clock };
    await writeContent(this.#client, {
      ...common,
      digest: manifest.config.digest,
      bytes: configBytes,
      labels: top === undefined ? {} : { [`containerd.io/gc.ref.snapshot.${snapshotter}`]: top },
    });
    const layers = manifest.layers.map((layer, index) => [
      `containerd.io/gc.ref.content.l.${index}`,
      layer.digest,
    ]);
    await writeContent(this.#client, {
      ...common,
      digest,
      bytes,
      labels: {
        'containerd.io/gc.ref.content.config': manifest.config.digest,
        ...Object.fromEntries(layers),
      },
    });
  }

  async #unpack(
    resolved: Resolved,
    chain: string[],
    lease: string,
    report: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const totalBytes = distinct(resolved.manifest.layers).reduce((sum, layer) => sum + layer.size, 0);
    report({ phase: 'unpacking', doneBytes: totalBytes, totalBytes });
    for (const [index, chainId] of chain.entries()) {
      signal.throwIfAborted();
      const work = () => this.#unpackLayer(resolved, chain, index, lease);
      await this.#unpacking.run(chainId, work);
    }
    report({ phase: 'done', doneBytes: totalBytes, totalBytes });
  }

  async #unpackLayer(resolved: Resolved, chain: string[], index: number, lease: string): Promise<void> {
    const snapshotter = await this.snapshotter();
    const name = chain[index]!;
    await keepInLease(this.#client, lease, `snapshots/${snapshotter}`, name);
    if (await this.#hasSnapshot(name)) return;
    const key = `shoal-unpack-${systemRandom.id()}`;
    const parent = index === 0 ? '' : chain[index - 1]!;
    const mounts = await makeSnapshot(this.#client, 'Prepare', { snapshotter, key, parent }, { lease });
    try {
      const diff = resolved.manifest.layers[index]!;
      const { applied } = await this.#client
        .call('Diff.Apply', { diff, mounts }, { lease, timeoutMs: unpackTimeoutMs })
        .catch((error: unknown) => Promise.reject(unpackError(error)));
      if (applied?.digest !== resolved.config.diffIds[index]) {
        throw new ShoalError(
          'image_invalid',
          `Cannot unpack the layer ${diff.digest}: its content is not what the config says`,
        );
      }
      await this.#client.call('Snapshots.Commit', { snapshotter, name, key }, { lease });
    } catch (error) {
      await this.#client
        .call('Snapshots.Remove', { snapshotter, key })
        .catch((left: unknown) =>
          this.#log.debug('snapshot left for the collector', { key, error: messageOf(left) }),
        );
      if (!isAlreadyExists(error)) throw error;
    }
  }

  /** Gives the image its name; gives when that was. */
  async #record(name: string, resolved: Resolved): Promise<number> {
    const target = { mediaType: resolved.mediaType, digest: resolved.digest, size: resolved.bytes.length };
    const now = this.#clock.now();
    const image = { name, labels: { [usedLabel]: String(now), [pulledLabel]: String(now) }, target };
    try {
      await this.#client.call('Images.Create', { image });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await this.#client.call('Images.Update', { image });
    }
    return now;
  }

  /** One lease a reference: an attempt that was cut short leaves one, and the next takes its place. */
  async #beginLease(name: string): Promise<string> {
    const id = `shoal-pull-${digestOf(Buffer.from(name)).slice(7, 31)}`;
    const expire = new Date(this.#clock.now() + leaseLifetimeMs).toISOString();
    const lease = { id, labels: { 'containerd.io/gc.expire': expire } };
    try {
      await this.#client.call('Leases.Create', lease);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await this.#client.call('Leases.Delete', { id });
      await this.#client.call('Leases.Create', lease);
    }
    return id;
  }

  async #endLease(lease: string): Promise<void> {
    try {
      await this.#client.call('Leases.Delete', { id: lease });
    } catch (error) {
      this.#log.debug('lease left to expire', { lease, error: messageOf(error) });
    }
  }

  async #read(digest: string): Promise<{ config: ParsedConfig; chain: string[] } | undefined> {
    const bytes = await readContent(this.#client, digest, manifestBytesMax);
    const parsed = bytes && parseManifest(bytes, '');
    if (parsed?.kind !== 'image') return undefined;
    const configBytes = await readContent(this.#client, parsed.manifest.config.digest, configBytesMax);
    if (!configBytes) return undefined;
    const config = parseConfig(configBytes);
    return { config, chain: chainIds(config.diffIds) };
  }

  #remember(digest: string, value: { config: ParsedConfig; chain: string[] }): void {
    this.#cache.delete(digest);
    this.#cache.set(digest, value);
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= cachedImagesMax) return;
      this.#cache.delete(oldest);
    }
  }

  async #hasSnapshot(key: string): Promise<boolean> {
    try {
      await this.#client.call('Snapshots.Stat', { snapshotter: await this.snapshotter(), key });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async #chooseSnapshotter(): Promise<string> {
    try {
      await this.#client.call('Snapshots.Stat', { snapshotter: 'overlayfs', key: 'shoal-probe' });
    } catch (error) {
      if (isNotFound(error)) return 'overlayfs';
      if (grpcStatus(error) !== grpcCodes.invalidArgument) throw error;
    }
    return 'native';
  }
}

function unpackError(error: unknown): Error {
  if (error instanceof ShoalError && error.code === 'unavailable') return error;
  if (isNoSpace(error))
    return new ShoalError('no_space', 'Cannot unpack a layer of the image', { cause: error });
  return new ShoalError('image_invalid', 'Cannot unpack a layer of the image', { cause: error });
}

/** The full name of an image; nothing for what names none, as a task that was refused for it may. */
function nameOf(text: string): string[] {
  try {
    return [canonicalReference(parseReference(text))];
  } catch (error) {
    if (error instanceof ShoalError) return [];
    throw error;
  }
}

/** For `catch`: it has gone in the meantime. */
function ignoreNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
}

function distinct<T extends { digest: string }>(descriptors: T[]): T[] {
  return [...new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor])).values()];
}
