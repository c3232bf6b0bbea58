// Headers (your bearer token) are typed in GraphiQL's "Headers" pane and kept by nobody.
const fetcher = GraphiQL.createFetcher({
  url: '/graphql',
  subscriptionUrl: `${location.origin.replace('http', 'ws')}/graphql`, // the Headers become connection_init's payload
});
const welcome = `# Sign in, then put {"authorization": "Bearer <accessToken>"} into the Headers pane below.
mutation SignIn {
  signIn(input: { email: "", password: "" }) {
    session { accessToken accessExpiresAt user { name roles } }
    userErrors { code field message }
  }
}
`;
ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: welcome, shouldPersistHeaders: false }),
);
