// Package stats samples what containers use, once a second, for as long as
// somebody listens, and in the form of the Engine API.
//
// One loop takes all samples: the host's processor time is read once for all
// containers, and each container once for all who listen to it. A listener who
// is slow gets the newest sample and misses some; nobody waits for him.
package stats
