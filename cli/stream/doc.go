// Package stream is the terminal side of the client: the standard streams,
// raw mode that is always undone, the copying of an attached container's
// input and output, the window's size, signals passed on, and the progress of
// a pull. It knows the API's client but no command.
package stream
