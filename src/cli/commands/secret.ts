import { secretBytesMax } from '../../spec/defaults.ts';
import type { SecretInfo } from '../../wire/api.ts';
import { agesOf } from '../ages.ts';
import { createFileCommand, inspectCommand, listCommand, removeCommand } from '../resources.ts';

export const create = createFileCommand('secret', secretBytesMax);

export const ls = listCommand<SecretInfo>('secret', async (context) => {
  const age = await agesOf(await context.client());
  return { header: ['AGE'], rows: ({ createdAt }) => [[age(createdAt)]] };
});

export const inspect = inspectCommand('secret');
export const rm = removeCommand('secret');
