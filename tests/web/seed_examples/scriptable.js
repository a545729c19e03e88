// Scriptable widget for iOS
const API_URL = "http://your-server:8080/status";

let widget = new ListWidget();
widget.backgroundColor = new Color("#1c1c1e");

try {
  let req = new Request(API_URL);
  let printers = await req.loadJSON();

  if (printers.length === 0) {
    widget.addText("No printers connected");
  } else {
    let printer = printers[0];
    let info = printer.status.PrintInfo;

    // Title
    let title = widget.addText(printer.attributes.Name);
    title.font = Font.boldSystemFont(16);
    title.textColor = Color.white();

    widget.addSpacer(8);

    // Progress
    if (info.TotalLayer > 0) {
      let progress = (info.CurrentLayer / info.TotalLayer) * 100;
      let progressText = widget.addText(`${progress.toFixed(1)}%`);
      progressText.font = Font.boldSystemFont(24);
      progressText.textColor = new Color("#30d158");

      widget.addSpacer(4);

      let layerText = widget.addText(`Layer ${info.CurrentLayer}/${info.TotalLayer}`);
      layerText.font = Font.systemFont(12);
      layerText.textColor = Color.gray();

      widget.addSpacer(8);

      let fileText = widget.addText(info.Filename);
      fileText.font = Font.systemFont(10);
      fileText.textColor = Color.gray();
      fileText.lineLimit = 1;
    } else {
      let statusText = widget.addText("Ready");
      statusText.font = Font.systemFont(14);
      statusText.textColor = Color.gray();
    }
  }
} catch (error) {
  widget.addText("Error: " + error.message);
}

Script.setWidget(widget);
Script.complete();
widget.presentSmall();
