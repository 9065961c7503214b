import type { BlockDeviceRate, BlockIoSettings } from '../../src/spec/settings.ts';
import { describeDevice } from './devices.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** The block device section of a container's resources (OCI runtime specification, "Block IO"). */
export interface OciBlockIo {
  weight?: number;
  weightDevice?: { major: number; minor: number; weight: number }[];
  throttleReadBpsDevice?: OciRate[];
  throttleWriteBpsDevice?: OciRate[];
  throttleReadIOPSDevice?: OciRate[];
  throttleWriteIOPSDevice?: OciRate[];
}

interface OciRate {
  major: number;
  minor: number;
  rate: number;
}

/** The limits of block devices on this host; nothing when none are wanted. Throws `failed_precondition` for one it lacks. */
export async function blockIoOf(settings: BlockIoSettings | undefined): Promise<OciBlockIo | undefined> {
  if (settings === undefined) return undefined;
  const { weight, weightDevices, readBytes, writeBytes, readOperations, writeOperations } = settings;
  const throttles = {
    throttleReadBpsDevice: await ratesOf(readBytes),
    throttleWriteBpsDevice: await ratesOf(writeBytes),
    throttleReadIOPSDevice: await ratesOf(readOperations),
    throttleWriteIOPSDevice: await ratesOf(writeOperations),
  };
  const weights = await Promise.all(
    (weightDevices ?? []).map(async ({ path, weight: own }) => ({
      ...(await blockDevice(path)),
      weight: own,
    })),
  );
  return {
    ...(weight !== undefined && { weight }),
    ...(weights.length > 0 && { weightDevice: weights }),
    ...Object.fromEntries(Object.entries(throttles).filter(([, rates]) => rates.length > 0)),
  };
}

async function ratesOf(rates: BlockDeviceRate[] | undefined): Promise<OciRate[]> {
  return await Promise.all(
    (rates ?? []).map(async ({ path, rate }) => ({ ...(await blockDevice(path)), rate })),
  );
}

async function blockDevice(path: string): Promise<{ major: number; minor: number }> {
  const { type, major, minor } = await describeDevice(path, path);
  if (type === 'b') return { major, minor };
  throw new ShoalError('failed_precondition', `Cannot limit ${path}: on this host it is no block device`, {
    next: 'Name a disk, such as /dev/sda.',
  });
}
