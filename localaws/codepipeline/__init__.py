"""AWS CodePipeline: executions through stages of actions, over an engine that is pure."""
