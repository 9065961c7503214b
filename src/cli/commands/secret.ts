import { secretBytesMax } from '../../spec/defaults.ts';
import { systemClock } from '../../util/clock.ts';
import { formatDuration } from '../../util/text.ts';
import type { SecretInfo } from '../../wire/api.ts';
import { createFileCommand, inspectCommand, listCommand, removeCommand } from '../resources.ts';

export const create = createFileCommand('secret', secretBytesMax);

export const ls = listCommand<SecretInfo>('secret', () => {
  const now = systemClock.now();
  return Promise.resolve({ header: ['AGE'], row: ({ createdAt }) => [formatDuration(now - createdAt)] });
});

export const inspect = inspectCommand('secret');
export const rm = removeCommand('secret');
