"""The grading engine: collect what the nodes say in few round trips, keep it as a snapshot, judge from the snapshot."""
