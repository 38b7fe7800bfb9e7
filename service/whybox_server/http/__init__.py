"""The JSON edge: every RPC of the services over HTTP, by its `google.api.http` route."""
