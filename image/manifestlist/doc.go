// Package manifestlist makes lists of manifests as `docker manifest` does: kept in
// files of the user until they are pushed, in the form and the folder of Docker's
// own command, so that each goes on with what the other began.
package manifestlist
