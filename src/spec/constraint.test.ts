import { describe, expect, it } from 'vitest';
import { ShoalError } from '../util/errors.ts';
import { describeConstraint, nodeSatisfies, parseConstraint } from './constraint.ts';
import type { Node } from './node.ts';

const node: Node = {
  id: 'abc123def456',
  createdAt: 0,
  updatedAt: 0,
  revision: 1,
  role: 'worker',
  availability: 'active',
  labels: { disk: 'ssd', Zone: 'east' },
  status: { state: 'ready', since: 0, message: '' },
  description: {
    hostname: 'host-1',
    address: '10.3.0.7',
    os: 'linux',
    architecture: 'x64',
    nanoCpus: 2e9,
    memoryBytes: 1e9,
    engine: { name: 'containerd', version: '1', labels: { gpu: 'yes' } },
    shoalVersion: '0',
  },
};

describe('nodeSatisfies()', () => {
  it.each([
    ['node.id == abc123def456', true],
    ['node.id != abc123def456', false],
    ['node.hostname==HOST-1', true],
    ['node.hostname != host-2', true],
    ['node.ip == 10.3.0.7', true],
    ['node.ip == 10.3.0.0/16', true],
    ['node.ip != 10.4.0.0/16', true],
    ['node.role == manager', false],
    ['node.role == Worker', true],
    ['node.platform.os == linux', true],
    ['node.platform.arch == x86_64', true],
    ['node.platform.arch == amd64', true],
    ['node.platform.arch == arm64', false],
    ['node.labels.disk == ssd', true],
    ['node.labels.Disk == ssd', false],
    ['NODE.LABELS.Zone == EAST', true],
    ['node.labels.rack == 1', false],
    ['node.labels.rack != 1', true],
    ['node.labels.constructor != 1', true],
    ['engine.labels.gpu == yes', true],
    ['engine.labels.gpu != yes', false],
  ])('%s is %s', (text, expected) => {
    expect(nodeSatisfies(node, parseConstraint(text))).toBe(expected);
  });

  it('takes a node that has not described itself as one without hostname, address or engine labels', () => {
    const { description: _, ...silent } = node;
    expect(nodeSatisfies(silent, parseConstraint('node.hostname == host-1'))).toBe(false);
    expect(nodeSatisfies(silent, parseConstraint('node.ip != 10.0.0.0/8'))).toBe(true);
    expect(nodeSatisfies(silent, parseConstraint('engine.labels.gpu != yes'))).toBe(true);
  });
});

describe('parseConstraint()', () => {
  it.each([
    ['node.labels.disk', /no == or !=/u],
    ['node.labels.disk = ssd', /no == or !=/u],
    ['', /no == or !=/u],
    ['node.labels.disk ==', /nothing follows ==/u],
    ['node.labels. == ssd', /not the name of a label/u],
    ['node.labels == ssd', /asks about "node.labels"/u],
    ['node.colour == red', /asks about "node.colour"/u],
    ['node.role == king', /not a role/u],
    ['node.ip == 10.0.0', /not an address/u],
    ['node.id == a\u0000b', /control characters/u],
    [`node.id == ${'a'.repeat(2000)}`, /too long/u],
  ])('refuses %j', (text, message) => {
    expect(() => parseConstraint(text)).toThrow(message);
    expect(() => parseConstraint(text)).toThrow(ShoalError);
  });

  it('is undone by describeConstraint()', () => {
    for (const text of ['node.labels.a.b == x y', 'engine.labels.os != b', 'node.id == 1']) {
      expect(describeConstraint(parseConstraint(`  ${text}  `))).toBe(text);
    }
  });
});
