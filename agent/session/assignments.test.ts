import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AssignmentPut, FileAssignment } from '../../src/wire/session.ts';
import { sampleTemplate } from '../../test/samples.ts';
import {
  assignedTasks,
  changed,
  freshIntake,
  noAssignments,
  receive,
  sound,
  type AssignmentChange,
  type AssignmentsMessage,
  type Intake,
} from './assignments.ts';

const file = (id: string): FileAssignment => ({ id, name: `name-${id}`, data: '' });
const put = (id: string): AssignmentPut => ({ kind: 'config', value: file(id) });

function message(
  mode: 'complete' | 'incremental',
  sequence: number,
  ids: string[],
  more = false,
): AssignmentsMessage {
  return { type: 'assignments', mode, sequence, more, put: ids.map(put), remove: [] };
}

function take(messages: AssignmentsMessage[]) {
  let intake: Intake = freshIntake;
  const changes: AssignmentChange[] = [];
  let resyncs = 0;
  for (const one of messages) {
    const taken = receive(intake, one);
    intake = taken.intake;
    if (taken.change) changes.push(taken.change);
    if (taken.resync) resyncs++;
  }
  return { changes, resyncs };
}

describe('receive()', () => {
  test('hands a complete set on with its last part', () => {
    const { changes } = take([message('complete', 1, ['a'], true), message('complete', 2, ['b'])]);
    expect(changes).toEqual([{ replace: true, sequence: 2, put: [put('a'), put('b')], remove: [] }]);
  });

  test('applies increments that follow one another', () => {
    const { changes, resyncs } = take([
      message('complete', 4, ['a']),
      message('incremental', 5, ['b']),
      message('incremental', 6, ['c']),
    ]);
    expect(changes.map(({ sequence }) => sequence)).toEqual([4, 5, 6]);
    expect(resyncs).toBe(0);
  });

  test('asks for everything once at a gap, and takes no increment until it comes', () => {
    const { changes, resyncs } = take([
      message('complete', 1, ['a']),
      message('incremental', 3, ['c']),
      message('incremental', 4, ['d']),
      message('complete', 5, ['e']),
      message('incremental', 6, ['f']),
    ]);
    expect(changes.map(({ sequence }) => sequence)).toEqual([1, 5, 6]);
    expect(resyncs).toBe(1);
  });

  test('asks again when a part of a complete set is missing', () => {
    const parts = [message('complete', 1, ['a'], true), message('complete', 3, ['c'])];
    expect(take(parts)).toEqual({ changes: [], resyncs: 1 });
  });
});

test('whatever is lost, what is applied is a complete set and every increment after it', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.boolean()), { maxLength: 30 }), (plan) => {
      const sent = plan.map(([complete], index) =>
        message(complete ? 'complete' : 'incremental', index + 1, [`${index}`]),
      );
      const { changes } = take(sent.filter((_, index) => !plan[index]![1]));
      for (const [index, change] of changes.entries()) {
        if (change.replace) continue;
        expect(changes[index - 1]?.sequence).toBe(change.sequence - 1);
      }
    }),
  );
});

test('changed() leaves what it was given alone and shares the kinds it does not touch', () => {
  const before = changed(noAssignments(), { replace: false, put: [put('a')], remove: [] });
  const after = changed(before, { replace: false, put: [put('b')], remove: [{ kind: 'config', id: 'a' }] });
  expect([...before.config.keys()]).toEqual(['a']);
  expect([...after.config.keys()]).toEqual(['b']);
  expect(after.task).toBe(before.task);
  expect([...changed(after, { replace: true, put: [], remove: [] }).config.keys()]).toEqual([]);
});

test('one thing that is malformed keeps no other away', () => {
  const peer = { id: 'n/t', networkId: 'n', address: '10.0.0.2', hostAddress: '192.0.2.2' };
  const bad = { ...peer, id: 'n/u', hostAddress: '192.0.2.2\nlink del eth0' };
  const later = { kind: 'later', value: { id: 'x' } } as unknown as AssignmentPut;
  const { put, refused } = sound([{ kind: 'peer', value: bad }, { kind: 'peer', value: peer }, later]);
  expect(put).toEqual([{ kind: 'peer', value: peer }]);
  expect(refused).toEqual([
    { kind: 'peer', id: 'n/u', why: expect.stringContaining('/hostAddress') },
    { kind: 'later', id: 'x', why: expect.stringContaining('does not know') },
  ]);
});

const task = (id: string, templateId: string): AssignmentPut => ({
  kind: 'task',
  value: {
    id,
    application: 'app',
    serviceId: 'web',
    serviceName: 'app_web',
    slot: 1,
    templateId,
    desiredState: 'running',
    attachments: [],
    status: { state: 'assigned', at: 0, message: '' },
  },
});
const template = (id: string): AssignmentPut => ({
  kind: 'template',
  value: { id, template: sampleTemplate() },
});

test('tasks that refer to a malformed template are refused with it, also those that come later; others are not', () => {
  const bad = {
    kind: 'template',
    value: { id: 'bad', template: { container: 7 } },
  } as unknown as AssignmentPut;
  const first = sound([bad, template('good'), task('a', 'bad'), task('b', 'good')]);
  expect(first.put).toEqual([template('good'), task('b', 'good')]);
  expect(first.refused.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['template bad', 'task a']);
  const later = sound([task('c', 'bad')], first.bad);
  expect(later.put).toEqual([]);
  expect(later.refused).toEqual([{ kind: 'task', id: 'c', why: first.refused[0]!.why }]);
});

test('assignedTasks() gives tasks one template in common, and says which refer to none', () => {
  const puts = [template('t'), task('a', 't'), task('b', 't'), task('c', 'lost')];
  const assignments = changed(noAssignments(), { replace: true, put: puts, remove: [] });
  const { tasks, missing } = assignedTasks(assignments);
  expect(tasks.get('a')?.template).toEqual(sampleTemplate());
  expect(tasks.get('a')?.template).toBe(tasks.get('b')?.template);
  expect(missing).toEqual(['c']);
});
