import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { chainIds, choosePlatform, hostPlatform, parseConfig, parseManifest } from './manifest.ts';

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest('c'), size: 10 };
const manifest = (layers: unknown[]) => bytes({ schemaVersion: 2, config, layers });

test('a manifest that names no type of its own is read as the type it was sent as', () => {
  const layers = [{ mediaType: layerType, digest: digest('a'), size: 5 }];
  const sent = 'application/vnd.docker.distribution.manifest.v2+json; charset=utf-8';
  expect(parseManifest(manifest(layers), sent)).toEqual({
    kind: 'image',
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    manifest: { config, layers },
  });
});

test('anything that is not a usable manifest is refused', () => {
  const layer = { mediaType: layerType, digest: digest('a'), size: 5 };
  const cases: [Buffer, RegExp][] = [
    [Buffer.from('{'), /not JSON/],
    [bytes([]), /malformed/],
    [bytes({ schemaVersion: 1 }), /too old/],
    [bytes({ schemaVersion: 2, mediaType: 'text/x' }), /unknown type text\/x/],
    [manifest([{ ...layer, digest: 'sha256:1' }]), /no sha256 digest/],
    [manifest([{ ...layer, size: -1 }]), /no size/],
    [manifest([{ ...layer, mediaType: 'application/zip' }]), /unknown type application\/zip/],
    [manifest(Array.from({ length: 200 }, () => layer)), /200 layers/],
  ];
  for (const [input, reason] of cases) {
    expect(() => parseManifest(input, '')).toThrow(reason);
  }
});

test('of several images the one nearest to the machine is chosen', () => {
  const entry = (letter: string, architecture: string, variant?: string, os = 'linux') => ({
    descriptor: { mediaType: '', digest: digest(letter), size: 1 },
    platform: { os, architecture, ...(variant !== undefined && { variant }) },
  });
  const entries = [
    { descriptor: { mediaType: '', digest: digest('0'), size: 1 } },
    entry('1', 'amd64', undefined, 'windows'),
    entry('2', 'amd64', 'v3'),
    entry('3', 'amd64'),
    entry('4', 'arm', 'v6'),
    entry('5', 'arm', 'v7'),
    entry('6', 'arm', 'v8'),
    entry('7', 'arm64', 'v8'),
    entry('8', 'unknown', undefined, 'unknown'),
  ];
  const chosen = (architecture: string) => choosePlatform(entries, hostPlatform(architecture)).digest[7];
  expect(chosen('x64')).toBe('3');
  expect(chosen('arm')).toBe('5');
  expect(chosen('arm64')).toBe('7');
  expect(() => chosen('riscv64')).toThrow(
    /not made for linux\/riscv64; it is made for windows\/amd64, linux\/amd64/,
  );
});

test('a config gives the settings of the image, with durations in milliseconds', () => {
  const parsed = parseConfig(
    bytes({
      rootfs: { type: 'layers', diff_ids: [digest('a')] },
      config: {
        Entrypoint: ['/run'],
        Cmd: null,
        Env: ['A=1'],
        User: 'web',
        WorkingDir: '/srv',
        ExposedPorts: { '80/tcp': {} },
        Volumes: { '/data': {} },
        StopSignal: 'SIGINT',
        Labels: { x: 'y' },
        Healthcheck: { Test: ['CMD', 'true'], Interval: 5_000_000_000, Timeout: 0, Retries: 2 },
      },
    }),
  );
  expect(parsed).toEqual({
    diffIds: [digest('a')],
    config: {
      entrypoint: ['/run'],
      command: [],
      environment: ['A=1'],
      workingDirectory: '/srv',
      user: 'web',
      exposedPorts: ['80/tcp'],
      volumes: ['/data'],
      stopSignal: 'SIGINT',
      healthcheck: { test: ['CMD', 'true'], intervalMs: 5000, retries: 2 },
      labels: { x: 'y' },
    },
  });
  expect(parseConfig(bytes({})).config.command).toEqual([]);
  expect(() => parseConfig(bytes({ rootfs: { diff_ids: ['x'] } }))).toThrow(/malformed layer/);
});

test('a chain id covers all layers below', () => {
  const hash = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const [a, b, c] = [digest('a'), digest('b'), digest('c')];
  const second = hash(`${a} ${b}`);
  expect(chainIds([a, b, c])).toEqual([a, second, hash(`${second} ${c}`)]);
  expect(chainIds([])).toEqual([]);
});
