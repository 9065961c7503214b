import { boolean, bytes, fileMode, labels, object, oneOf, refused, runsOnly, text } from './attribute.ts';
import type { Attribute } from './attribute.ts';

/** What is mounted into the containers of a service (Compose specification, "volumes"). */

const subpath = '^(?!/)(?!(?:.*/)?\\.\\.(?:/|$)).+$';

const volumeOptions: Attribute = object({
  nocopy: boolean,
  subpath: {
    type: 'string',
    pattern: subpath,
    says: 'the path of a folder in the volume, without ".."',
    cluster: 'the folder must be in the volume on the host that the replica is on',
  },
  labels: refused(labels, 'write the labels where the volume is defined'),
});

const bindOptions: Attribute = object({
  create_host_path: {
    ...boolean,
    cluster:
      'a folder is made only where this says true; without it a host that lacks the source takes no replica',
  },
  propagation: oneOf('private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'),
  recursive: runsOnly(
    oneOf('enabled', 'disabled', 'writable', 'readonly'),
    'enabled or disabled (others are not supported yet)',
    { enum: ['enabled', 'disabled'] },
  ),
  selinux: {
    ...oneOf('z', 'Z'),
    cluster: 'means nothing: SELinux does not shut containers off, so that no folder needs a label',
  },
});

const imageOptions: Attribute = object({
  subpath: {
    type: 'string',
    pattern: subpath,
    says: 'the path of a folder or file in the image, without ".."',
  },
});

const mount: Attribute = object(
  {
    type: {
      ...runsOnly(
        oneOf('volume', 'bind', 'tmpfs', 'image', 'npipe', 'cluster'),
        'volume, bind, tmpfs or image (others are not supported yet)',
        { enum: ['volume', 'bind', 'tmpfs', 'image'] },
      ),
      cluster: 'image: what the image source names holds, read-only, pulled as the service’s own',
    },
    source: { ...text, cluster: 'of a bind mount an absolute path, on each host that has a replica' },
    target: {
      type: 'string',
      form: 'cleanPath',
      is: 'absolutePath',
      says: 'an absolute path in the container',
    },
    read_only: boolean,
    bind: bindOptions,
    volume: volumeOptions,
    tmpfs: object({ size: bytes, mode: fileMode }),
    image: imageOptions,
    consistency: { ...oneOf('consistent', 'cached', 'delegated'), cluster: 'has no effect on Linux' },
  },
  { required: ['type', 'target'] },
);

export const mounts: Attribute = {
  type: 'array',
  form: 'mounts',
  items: mount,
  merge: { by: 'target' },
  says: 'a list of volumes',
  cluster: 'a named volume is on the host of its first replica: all that use it run there',
};

const tmpfs: Attribute = {
  type: 'string',
  is: 'tmpfs',
  says: 'a path in the container, with options of mount, such as /run:size=64m,mode=1777,exec',
};

export const tmpfsPaths: Attribute = {
  type: 'array',
  form: 'texts',
  items: tmpfs,
  merge: { by: 'assignment' },
  says: 'a path or a list of paths',
};
