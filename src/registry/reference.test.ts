import { expect, test } from 'vitest';
import { canonicalReference, parseReference, registryUrl } from './reference.ts';

const digest = `sha256:${'a'.repeat(64)}`;

test('a reference is completed as Docker does', () => {
  const cases: Record<string, string> = {
    redis: 'docker.io/library/redis:latest',
    'redis:7': 'docker.io/library/redis:7',
    'index.docker.io/redis': 'docker.io/library/redis:latest',
    'grafana/loki': 'docker.io/grafana/loki:latest',
    'ghcr.io/a/b/c:1.2': 'ghcr.io/a/b/c:1.2',
    'localhost/x': 'localhost/x:latest',
    '127.0.0.1:5000/x': '127.0.0.1:5000/x:latest',
    'host:5000/a/b:tag': 'host:5000/a/b:tag',
    '[::1]:5000/x:1': '[::1]:5000/x:1',
    [`redis@${digest}`]: `docker.io/library/redis@${digest}`,
    [`redis:7@${digest}`]: `docker.io/library/redis@${digest}`,
  };
  for (const [text, canonical] of Object.entries(cases)) {
    expect(canonicalReference(parseReference(text))).toBe(canonical);
  }
});

test('a malformed reference is refused with the reason', () => {
  const cases: Record<string, RegExp> = {
    '': /empty/,
    Redis: /lower case/,
    'a b': /malformed/,
    'redis:': /tag/,
    'redis:-x': /tag/,
    'redis@sha256:12': /digest/,
    '../etc/passwd': /malformed/,
    'host.io/../x': /malformed/,
    'a//b': /malformed/,
    ['a'.repeat(600)]: /too long/,
  };
  for (const [text, reason] of Object.entries(cases)) {
    expect(() => parseReference(text)).toThrow(reason);
  }
});

test('only loopback and the registries listed are spoken to without TLS', () => {
  const url = (registry: string) => registryUrl(registry, ['lab:5000']).href;
  expect(url('docker.io')).toBe('https://registry-1.docker.io/');
  expect(url('ghcr.io')).toBe('https://ghcr.io/');
  expect(url('lab:5000')).toBe('http://lab:5000/');
  expect(url('lab:5001')).toBe('https://lab:5001/');
  expect(url('127.0.0.1:5000')).toBe('http://127.0.0.1:5000/');
  expect(url('localhost:5000')).toBe('http://localhost:5000/');
  expect(url('127.0.0.1.evil.io')).toBe('https://127.0.0.1.evil.io/');
});
