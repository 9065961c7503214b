import { auditPageMax, type AuditEntry, type AuditPage } from '../../wire/audit.ts';
import { wholeNumber } from '../arguments.ts';
import { exitCodes, type Command } from '../command.ts';
import { paint, printList } from '../output.ts';

function who({ caller }: AuditEntry): string {
  const { kind, name, role, revoked } = caller;
  if (kind === 'local') return 'root (local socket)';
  if (kind === 'anonymous') return revoked === undefined ? 'no certificate' : `${revoked} (revoked)`;
  return `${kind === 'node' ? 'node ' : ''}${name ?? ''} (${role ?? ''})`;
}

function outcome({ status, error }: AuditEntry): string {
  return error === undefined ? 'done' : `${status} ${error}`;
}

export const command: Command = {
  name: 'audit',
  summary: 'Show who changed what, and what was refused, oldest first.',
  options: {
    tail: {
      short: 'n',
      value: 'ENTRIES',
      help: `Only the last entries (default 100, at most ${auditPageMax})`,
    },
    before: { value: 'ID', help: 'Those before this entry' },
    json: { help: 'Print JSON' },
  },
  examples: ['shoal audit', 'shoal audit --tail 20', 'shoal audit --before 4711 --json'],
  async run(context, parsed) {
    const query = new URLSearchParams();
    const tail = parsed.value('tail');
    const before = parsed.value('before');
    if (tail !== undefined) query.set('limit', String(wholeNumber(tail, 'a number of entries', 1)));
    if (before !== undefined) query.set('before', String(wholeNumber(before, 'an entry', 1)));
    const client = await context.client();
    const { entries, problem } = await client.request<AuditPage>('GET', `/audit?${query.toString()}`);
    printList(context.output, parsed.flag('json'), entries, {
      header: ['ID', 'AT', 'WHO', 'FROM', 'WHAT', 'OUTCOME'],
      row: (entry) => [
        String(entry.id),
        entry.at.slice(0, 19),
        who(entry),
        entry.from ?? '-',
        `${entry.method} ${entry.path}${entry.objects ? `: ${entry.objects.join(', ')}` : ''}`,
        outcome(entry) + (entry.omitted === undefined ? '' : `; ${entry.omitted} before it left out`),
      ],
    });
    if (problem !== undefined) {
      context.output.note(paint(context.output, 'yellow', `The audit log cannot be written: ${problem}`));
    }
    return exitCodes.done;
  },
};
