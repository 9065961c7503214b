import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Sharing } from '../../src/spec/service.ts';
import type { DesiredTaskState, TaskState } from '../../src/spec/task.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { FakeEngine } from './fake-engine.ts';
import { assignment, TestHost } from './testing.ts';

let host: TestHost;

beforeEach(async () => {
  host = await new TestHost().start();
});

afterEach(async () => {
  await host.remove();
});

const reaches = (id: string, state: TaskState) => host.reaches(id, state);

/** The task whose namespaces are shared. */
const anchor = (desiredState: DesiredTaskState = 'running'): AssignedTask => ({
  ...assignment('db', desiredState, { hostname: 'data' }),
  serviceName: 'app_db',
});

/** A task that takes something over from it. */
function companion(
  id: string,
  desiredState: DesiredTaskState = 'running',
  sharing: Sharing = { network: 'app_db' },
): AssignedTask {
  const plain = assignment(id, desiredState);
  return {
    ...plain,
    attachments: [],
    anchors: { app_db: 'db' },
    template: { ...plain.template, networks: [], sharing },
  };
}

async function bothRun(sharing?: Sharing): Promise<void> {
  host.assign(companion('proxy', 'running', sharing), anchor());
  await reaches('db', 'running');
  await reaches('proxy', 'running');
}

const created = (id: string) => host.engine.containers.get(id)?.create;
const order = (...calls: string[]) => calls.map((call) => host.engine.calls.indexOf(call));

describe('making a companion', () => {
  test('waits until its anchor runs, and gives it that one’s network and name, and no network of its own', async () => {
    await bothRun({ network: 'app_db', ipc: 'app_db', pid: 'app_db' });
    const [started, made] = order('start db', 'create proxy');
    expect(started).toBeLessThan(made!);
    expect(created('proxy')).toMatchObject({
      join: { network: 'db', ipc: 'db', pid: 'db' },
      hostname: 'data',
    });
    expect(created('proxy')).not.toHaveProperty('networkNamespace');
    expect([...host.network.attached.keys()]).toEqual(['db']);
  });

  test('gives it the binds and volumes of its anchor, its own over them', async () => {
    host.engine.images.set('web', FakeEngine.image('web', { volumes: ['/image'] }));
    const db = anchor();
    db.template.container.mounts = [
      { type: 'volume', source: 'data', target: '/data', readOnly: false },
      { type: 'volume', target: '/scratch', readOnly: false },
      { type: 'volume', source: 'theirs', target: '/both/', readOnly: false },
      { type: 'tmpfs', target: '/memory' },
    ];
    const proxy = companion('proxy', 'running', { mounts: [{ service: 'app_db', readOnly: true }] });
    proxy.template.container.mounts = [{ type: 'volume', source: 'own', target: '/both', readOnly: false }];
    host.assign(db, proxy);
    await reaches('proxy', 'running');
    const sourceOf = (id: string, target: string) =>
      created(id)!.mounts.find((mount) => mount.target.replace(/\/$/, '') === target);
    for (const target of ['/data', '/scratch', '/image']) {
      expect(sourceOf('proxy', target)?.source).toBe(sourceOf('db', target)?.source);
      expect(sourceOf('proxy', target)?.options).toContain('ro');
    }
    expect(sourceOf('proxy', '/both')?.source).toContain('/own/');
    expect(sourceOf('proxy', '/memory')).toBeUndefined();
    expect(sourceOf('db', '/scratch')?.source).toContain('/db/');
  });
});

describe('a companion', () => {
  test('that ends by itself is a failure of its own, and its anchor goes on', async () => {
    await bothRun({ pid: 'app_db' });
    host.engine.exit('proxy', 3);
    await reaches('proxy', 'failed');
    expect(host.status('db')?.state).toBe('running');
  });

  test('ends with its anchor, and does not count as failed', async () => {
    await bothRun();
    host.engine.exit('db', 1);
    await reaches('db', 'failed');
    await reaches('proxy', 'shutdown');
    expect(host.status('proxy')).toMatchObject({
      message: 'stopped with app_db.1, which it shares with',
      endedWith: 'db',
    });
  });

  test('whose processes the kernel ends before its anchor’s does not count as failed either', async () => {
    await bothRun({ pid: 'app_db' });
    host.engine.exit('proxy', 137);
    host.engine.exit('db', 1);
    await reaches('db', 'failed');
    await reaches('proxy', 'shutdown');
  });

  test('stops before its anchor when the anchor is asked to stop, though nobody asked it', async () => {
    await bothRun();
    host.assign(companion('proxy'), anchor('shutdown'));
    await reaches('db', 'shutdown');
    await reaches('proxy', 'shutdown');
    const [first, second] = order('kill 15 proxy', 'kill 15 db');
    expect(first).toBeGreaterThan(-1);
    expect(first).toBeLessThan(second!);
    expect(host.engine.calls.lastIndexOf('remove proxy')).toBeGreaterThan(first!);
  });

  test('that still waits for its anchor to run ends when that is to stop', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    host.engine.before = (operation) => (operation === 'start' ? promise : undefined);
    host.assign(companion('waiting'), anchor());
    await reaches('waiting', 'preparing');
    await reaches('db', 'starting');
    host.assign(companion('waiting'), anchor('shutdown'));
    await reaches('waiting', 'shutdown');
    resolve();
    await reaches('db', 'shutdown');
    expect(host.engine.calls).not.toContain('create waiting');
  });

  test('whose anchor turns out to have ended when it is made ends as one that was stopped', async () => {
    host.assign(anchor());
    await reaches('db', 'running');
    host.engine.before = (operation, id) => {
      if (operation !== 'create' || id !== 'proxy') return;
      throw new ShoalError('namespace_gone', 'Cannot join the namespaces of db', { details: 'db' });
    };
    host.assign(companion('proxy'), anchor());
    await reaches('proxy', 'shutdown');
    expect(host.status('proxy')?.endedWith).toBe('db');
  });

  test('whose anchor is not here is not started', async () => {
    host.assign(companion('proxy'));
    await reaches('proxy', 'shutdown');
    expect(host.engine.calls).not.toContain('create proxy');
  });
});

describe('after a restart', () => {
  test('a companion goes on beside its anchor, and still ends with it', async () => {
    await bothRun();
    await host.restart();
    await vi.waitFor(() => expect(host.engine.calls).toContain('reattach proxy'));
    expect(host.status('proxy')?.state).toBe('running');
    host.engine.exit('db', 1);
    await reaches('proxy', 'shutdown');
  });

  test('one whose anchor ended meanwhile is stopped', async () => {
    await bothRun();
    await host.stop();
    host.engine.exit('db', 1);
    await host.start();
    await reaches('db', 'failed');
    await reaches('proxy', 'shutdown');
  });

  test('a host that lost everything blames the anchor alone', async () => {
    await bothRun();
    await host.stop();
    host.engine.containers.clear();
    await host.start();
    await reaches('db', 'failed');
    await reaches('proxy', 'shutdown');
  });
});

test('an engine that was away while both ended finds the companion stopped, not failed', async () => {
  await bothRun({ pid: 'app_db' });
  host.engine.goAway();
  host.engine.exit('proxy', 137);
  host.engine.exit('db', 137);
  host.engine.comeBack();
  await reaches('db', 'failed');
  await reaches('proxy', 'shutdown');
});
