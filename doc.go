// Package berth is the root of the Berth container engine. It holds no code;
// its tests check rules that span the whole tree, first of all which way the
// imports point (layers_test.go). Start reading at docs/architecture.md.
package berth
