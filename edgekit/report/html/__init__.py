"""The report as one HTML file that opens offline: charts from matplotlib, a page from jinja2."""
