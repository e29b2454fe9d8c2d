package main

// document is where results are kept, below the top of the repository.
const document = "docs/performance.md"
