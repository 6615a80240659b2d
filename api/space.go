package api

// SpaceReport is the answer to GET /system/space: where the engine's bytes are.
// Bytes are those that the file system has allocated, each once.
type SpaceReport struct {
	DataRoot string
	Total    int64 // of all below DataRoot
	Items    []Space
}

// Space is one part of it. Items do not overlap; together they are Total.
type Space struct {
	What  string // for people, such as "container logs"
	Path  string // where, with * for what there are many of
	Bytes int64
}
