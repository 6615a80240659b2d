// Package quota limits how much the files below a directory may take, by the
// project quotas of ext4 and XFS (quotactl_fd(2), ioctl_fsgetxattr(2)).
//
// A limited directory belongs to a project, which is a number that the file
// system counts for; what is made in it later belongs to the project, too.
// Projects gives these numbers out. They are never read from files, whose
// owners may change them: whoever keeps a directory keeps its number, and tells
// it again (Keep) after a restart.
//
// What is promised: no two directories that a Projects limits share a number,
// nor does one have a number that the file system already counts something for.
// A limit holds for all programs but, on ext4, those with CAP_SYS_RESOURCE.
package quota
