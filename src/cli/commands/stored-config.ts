import { configBytesMax } from '../../spec/defaults.ts';
import type { ConfigInfo } from '../../wire/api.ts';
import { agesOf } from '../ages.ts';
import { createFileCommand, inspectCommand, listCommand, removeCommand } from '../resources.ts';

export const create = createFileCommand('config', configBytesMax);

export const ls = listCommand<ConfigInfo>('config', async (context) => {
  const age = await agesOf(await context.client());
  return { header: ['AGE'], rows: ({ createdAt }) => [[age(createdAt)]] };
});

export const inspect = inspectCommand('config');
export const rm = removeCommand('config');
