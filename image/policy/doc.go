// Package policy decides which images may come from registries, by rules in the
// form of containers-policy.json(5)
// (https://github.com/containers/image/blob/main/docs/containers-policy.json.5.md):
// reject, accept, or demand a signature that a key has made, in cosign's form.
//
// A policy is parsed strictly. What it cannot enforce is an error when it is
// read, never a rule that is passed over. A signature counts only if all hold:
// the key's, about this digest, for a name that the rule accepts.
package policy
