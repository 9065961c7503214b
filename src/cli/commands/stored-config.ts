import { configBytesMax } from '../../spec/defaults.ts';
import { systemClock } from '../../util/clock.ts';
import { formatDuration } from '../../util/text.ts';
import type { ConfigInfo } from '../../wire/api.ts';
import { createFileCommand, inspectCommand, listCommand, removeCommand } from '../resources.ts';

export const create = createFileCommand('config', configBytesMax);

export const ls = listCommand<ConfigInfo>('config', () => {
  const now = systemClock.now();
  return Promise.resolve({ header: ['AGE'], row: ({ createdAt }) => [formatDuration(now - createdAt)] });
});

export const inspect = inspectCommand('config');
export const rm = removeCommand('config');
