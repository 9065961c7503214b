import type { AssignmentPut, AssignmentRemove, ManagerMessage } from '../../src/wire/session.ts';

/** Parts are filled up to about this size; one object larger than it goes alone. Well under `sessionMessageBytesMax`. */
const partBytesMax = 1024 * 1024;

type AssignmentsMessage = Extract<ManagerMessage, { type: 'assignments' }>;

/**
 * The messages, as text, that carry a complete set or an increment. A complete set is spread over parts linked by
 * `more`; a large increment becomes several, whose removals come last, so that nothing is gone before what replaces it
 * is there. There is always at least one message.
 */
export function assignmentMessages(
  mode: AssignmentsMessage['mode'],
  content: { put: AssignmentPut[]; remove: AssignmentRemove[] },
  nextSequence: () => number,
): string[] {
  const parts: { put: string[]; remove: AssignmentRemove[] }[] = [{ put: [], remove: [] }];
  let bytes = 0;
  for (const put of content.put) {
    const text = JSON.stringify(put);
    if (bytes > 0 && bytes + text.length > partBytesMax) {
      parts.push({ put: [], remove: [] });
      bytes = 0;
    }
    bytes += Buffer.byteLength(text);
    parts.at(-1)!.put.push(text);
  }
  const removalsPerMessage = 10_000;
  for (let start = 0; start < content.remove.length; start += removalsPerMessage) {
    const remove = content.remove.slice(start, start + removalsPerMessage);
    if (start === 0) parts.at(-1)!.remove = remove;
    else parts.push({ put: [], remove });
  }
  return parts.map(({ put, remove }, index) => {
    const more = mode === 'complete' && index < parts.length - 1;
    const head = JSON.stringify({ type: 'assignments', mode, sequence: nextSequence(), more, remove });
    return `${head.slice(0, -1)},"put":[${put.join(',')}]}`;
  });
}
