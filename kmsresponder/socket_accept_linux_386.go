package kmsresponder

const accept4 = 364 // which package syscall does not know, since Linux 4.3
