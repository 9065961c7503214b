import { describe, expect, test } from 'vitest';
import { argsOf, containerOf, stopSignalOf } from './container.ts';
import { FakeEngine } from './fake-engine.ts';
import { chooseHostPorts } from './host-ports.ts';
import { signalNumber } from './signals.ts';
import { hostsText, resolverText } from './task-files.ts';
import { assignment } from './testing.ts';

const image = FakeEngine.image('web', {
  entrypoint: ['/entry'],
  command: ['serve'],
  environment: ['A=1', 'B=2'],
});
const container = (change: object) => assignment('t', 'running', change).template.container;

describe('a container is the template over the image', () => {
  test.each([
    [{}, ['/entry', 'serve']],
    [{ command: ['other'] }, ['/entry', 'other']],
    [{ entrypoint: ['/mine'] }, ['/mine']],
    [{ entrypoint: ['/mine'], command: ['x'] }, ['/mine', 'x']],
    [{ entrypoint: [], command: ['x'] }, ['x']],
  ])('%j runs %j', (change, args) => {
    expect(argsOf(container(change), image.config)).toEqual(args);
  });

  test('without any command it is refused', () => {
    expect(() => argsOf(container({ entrypoint: [] }), image.config)).toThrow(/names a command/);
  });

  test('its environment has a path and its name, and the template wins', () => {
    const task = assignment('t', 'running', { environment: { B: '3', C: '' }, hostname: 'me' });
    const { environment, hostname } = containerOf(task, image, { mounts: [], networkNamespace: '/n' });
    expect(environment).toEqual([expect.stringMatching(/^PATH=/), 'HOSTNAME=me', 'A=1', 'B=3', 'C=']);
    expect(hostname).toBe('me');
  });

  test('its stop signal is the service’s, the image’s, or SIGTERM', () => {
    expect(stopSignalOf(container({ stopSignal: 'INT' }), image.config)).toBe(2);
    expect(stopSignalOf(container({}), { ...image.config, stopSignal: 'SIGQUIT' })).toBe(3);
    expect(stopSignalOf(container({}), image.config)).toBe(15);
  });
});

test('signals are read by name and number', () => {
  expect(['SIGTERM', 'usr1', '9', 'RTMIN+3'].map(signalNumber)).toEqual([15, 10, 9, 37]);
  for (const wrong of ['', 'SIGNOPE', '0', '65', 'RTMIN+99']) {
    expect(() => signalNumber(wrong)).toThrow(/Cannot use/);
  }
});

test('host ports that may be any get numbers that are not taken', () => {
  const any = { target: 80, protocol: 'tcp', mode: 'host' } as const;
  const chosen = chooseHostPorts(
    [any, any, { ...any, published: 8080 }],
    [{ published: 30_000, protocol: 'tcp' }],
  );
  expect(chosen.map(({ published }) => published)).toEqual([30_001, 30_002, 8080]);
  const range = { ...any, published: { first: 1, last: 1 } };
  expect(() => chooseHostPorts([range], [{ published: 1, protocol: 'tcp' }])).toThrow(
    /all of 1 to 1 are taken/,
  );
});

test('host ports of different addresses are no trouble to each other', () => {
  const range = { target: 80, protocol: 'tcp', mode: 'host', published: { first: 1, last: 3 } } as const;
  const [here, there] = [
    { ...range, address: '127.0.0.1' },
    { ...range, address: '192.0.2.1' },
  ];
  const taken = [{ published: 1, protocol: 'tcp', address: '192.0.2.1' } as const];
  expect(chooseHostPorts([here, there, range], taken).map(({ published }) => published)).toEqual([1, 2, 3]);
});

test('the files that name hosts are those of Docker', () => {
  expect(hostsText(assignment('t'), undefined)).toMatch(/^127\.0\.0\.1\tlocalhost\n[^]*\n10\.0\.0\.2\tt\n$/);
  expect(resolverText('10.0.0.1')).toBe('nameserver 10.0.0.1\noptions ndots:0\n');
  expect(resolverText(undefined)).not.toContain('nameserver');
});

test('the files that name hosts have what the service adds', () => {
  const extraHosts = [
    { name: 'db', address: '10.1.2.3' },
    { name: 'here', address: 'host-gateway' },
  ];
  const change = { names: { extraHosts }, settings: { domainName: 'example.org' }, hostname: 'me' };
  const text = hostsText(assignment('t', 'running', change), '10.0.0.1');
  expect(text).toContain('\n10.1.2.3\tdb\n10.0.0.1\there\n10.0.0.2\tme.example.org me\n');
  const names = { dnsServers: ['9.9.9.9'], dnsSearch: ['a.org', 'b.org'], dnsOptions: ['ndots:2', 'rotate'] };
  expect(resolverText('10.0.0.1', names)).toBe(
    'nameserver 10.0.0.1\nsearch a.org b.org\noptions ndots:2 rotate\n',
  );
  expect(resolverText(undefined, names)).toMatch(/^nameserver 9\.9\.9\.9\n/);
  expect(resolverText('10.0.0.1', { dnsSearch: ['.'] })).toBe('nameserver 10.0.0.1\noptions ndots:0\n');
});
