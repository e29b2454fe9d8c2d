// Package kms is a CoreDNS plugin that answers _vlmcs._tcp SRV questions from a pool of KMS hosts that it checks itself.
package kms
