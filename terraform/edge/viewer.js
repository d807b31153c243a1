// CloudFront function at viewer-request: tells the functions which host a client asked and where it is, of which they would
// see the origin's and CloudFront's. Whatever a client itself says there is overwritten; the functions believe it of who shows
// the origin's secret only.
function handler(event) {
  var request = event.request;
  request.headers["x-viewer-host"] = { value: request.headers.host.value };
  request.headers["x-viewer-ip"] = { value: event.viewer.ip };
  return request;
}
