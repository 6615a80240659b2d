// Package build makes images of Dockerfiles: BuildKit's solver, frontends and
// cache, embedded in the engine, with the engine's image store as its store and
// the engine's sandbox as its executor. There is no second daemon and no
// container for the builder; until the first build nothing of it runs.
//
// It is reached as in Docker: by BuildKit's own API over an upgraded connection
// (buildx), or by POST /build with a tar (the classic client). Both are answered
// by the same solver and share one cache.
package build
