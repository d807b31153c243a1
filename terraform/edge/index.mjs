// Lambda@Edge at origin-response: gives WWW-Authenticate back its name. API Gateway calls it
// x-amzn-remapped-www-authenticate, and function URLs may: clients that do not see the header cannot sign in. A CloudFront
// function cannot do it, since none runs for answers of 400 and more at viewer-response.
const remapped = "x-amzn-remapped-www-authenticate";

export const handler = async (event) => {
  const { response } = event.Records[0].cf;
  const values = response.headers[remapped];
  if (values) {
    delete response.headers[remapped];
    response.headers["www-authenticate"] = values.map(({ value }) => ({ key: "WWW-Authenticate", value }));
  }
  return response;
};
